"""The command line: parses, calls, prints. Heavy imports wait until a command needs them."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import ctdenoise
from ctdenoise.errors import InputError

if TYPE_CHECKING:
    from ctdenoise.inference import Denoiser
    from ctdenoise.inference.series import Progress
    from ctdenoise.io.dicom import Series

app = typer.Typer(
    help="Denoise CT series: DICOM in, derived DICOM out. Not for diagnostic use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="The models that ship, and your own.", no_args_is_help=True)
app.add_typer(models_app, name="models")
datasets_app = typer.Typer(help="Data sets to train and to test on.", no_args_is_help=True)
app.add_typer(datasets_app, name="datasets")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ModelOption = Annotated[str, typer.Option(help="Name of a model that ships, or a model folder.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]


def main() -> None:
    """Run the command line."""
    # pydicom warns with the values it dislikes, and these may be a patient's.
    warnings.filterwarnings("ignore", module=r"pydicom\.")
    try:
        app()
    except InputError as error:
        print(f"ctdenoise: {error}", file=sys.stderr)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(ctdenoise.__version__)
        raise typer.Exit


@app.command()
def run(
    source: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="DICOM file or folder; NIfTI, NRRD, MHA; photographs."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Gets a folder for each series.")],
    model: ModelOption = "ct-lowdose",
    strength: Annotated[float, typer.Option(min=0.0, max=1.0, help="0 keeps the source, 1 is fully denoised.")] = 1.0,
    series: Annotated[str | None, typer.Option(help="Only this SeriesNumber or SeriesInstanceUID.")] = None,
    device: DeviceOption = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Slices in the network at once.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write again what is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Denoise the CT series, volume or photographs in INPUT; what comes out is of the same kind.

    A run that was cut off goes on when started again.
    """
    denoiser = _load(model, device, batch_size)
    from ctdenoise.inference import denoise_path

    try:
        with _progress(as_json) as progress:
            outcome = denoise_path(
                denoiser,
                source,
                output,
                strength=strength,
                overwrite=overwrite,
                series=series,
                progress=progress,
            )
    except KeyboardInterrupt:
        raise _interrupted() from None
    if as_json:
        _print_json(
            {
                "series": [{"folder": str(r.folder), "written": r.written, **r.manifest} for r in outcome.results],
                "skipped": [{"file": str(s.path), "reason": s.reason, "failed": s.failed} for s in outcome.skipped],
            }
        )
    else:
        for result in outcome.results:
            _say_result(result.folder, result.manifest, result.written)
        _say_skipped([(s.path, s.reason) for s in outcome.skipped])
    raise typer.Exit(1 if outcome.failed else 0)


@app.command()
def inspect(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A DICOM file, or a folder with some.")],
    as_json: JsonOption = False,
) -> None:
    """Tell what is in INPUT, what would be denoised, what would be skipped and why."""
    from ctdenoise.io.dicom import discover

    found = discover(source)
    if as_json:
        _print_json(
            {
                "series": [_series_entry(s) for s in found.series],
                "skipped": [{"file": str(s.path), "reason": s.reason, "failed": s.failed} for s in found.skipped],
            }
        )
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table("number", "description", "slices", "matrix", "from … to / mm", "SeriesInstanceUID")
        for entry in map(_series_entry, found.series):
            span = "unknown" if entry["first_mm"] is None else f"{entry['first_mm']} … {entry['last_mm']}"
            table.add_row(
                str(entry["number"]),
                entry["description"],
                str(entry["slices"]),
                f"{entry['rows']}×{entry['columns']}",
                span,
                entry["uid"],
            )
        Console().print(table if found.series else "no CT series")
        _say_skipped([(s.path, s.reason) for s in found.skipped], everything=True)
    raise typer.Exit(1 if any(s.failed for s in found.skipped) or not found.series else 0)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Where series and picture go.")] = Path(
        "ctdenoise-demo"
    ),
    model: ModelOption = "ct-lowdose",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Denoise a simulated low-dose thorax and compare it with the truth; needs no data and no network."""
    denoiser = _load(model, device, 1)
    from ctdenoise.demo import run_demo

    with _progress(as_json) as progress:
        result = run_demo(output, denoiser, progress=progress, say=lambda text: print(f"{text} …", file=sys.stderr))
    if as_json:
        _print_json({k: str(v) if isinstance(v, Path) else v for k, v in asdict(result).items()})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("window", "", "PSNR / dB", "SSIM", "RMSE / HU", title="against the phantom's truth")
    for name, before in result.before.items():
        for label, row in (("low dose", before), ("denoised", result.after[name])):
            numbers = f"{row['psnr']:.2f}", f"{row['ssim']:.4f}", f"{row['rmse']:.1f}"
            table.add_row(name if label == "low dose" else "", label, *numbers)
    Console().print(table)
    for label, path in (
        ("full dose", result.full_dose),
        ("low dose", result.low_dose),
        ("denoised", result.denoised),
        ("picture", result.picture),
    ):
        print(f"{label:>9}: {path}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    pipeline: Annotated[str, typer.Argument(help="ct_lowdose, natural_gaussian or natural_srgb.")],
    overlay: Annotated[
        list[str] | None, typer.Option(help="Another config of the pipeline on top, e.g. in_house; repeatable.")
    ] = None,
) -> None:
    """Train a pipeline, as python -m monai.bundle run does in its folder; started again, it goes on.

    Every value of its configs/train.json can be given: ctdenoise train ct_lowdose --dataset_dir DATA --output_dir OUT
    --iterations 4000 --network#architecture dncnn. Under torchrun each process takes its share of the batch.
    """
    from ctdenoise.training.run import parse_overrides, run_pipeline

    try:
        run_pipeline(pipeline, ["train", *(overlay or [])], parse_overrides(context.args))
    except KeyboardInterrupt:
        raise _interrupted() from None


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def export(
    context: typer.Context,
    pipeline: Annotated[str, typer.Argument(help="The one that was trained.")],
    overlay: Annotated[list[str] | None, typer.Option(help="As in training.")] = None,
) -> None:
    """Turn the best checkpoint of a training into a model folder for ctdenoise run --model.

    Takes the values the training was given, and --model_dir.
    """
    from ctdenoise.training.run import parse_overrides, run_pipeline

    run_pipeline(pipeline, ["train", *(overlay or []), "export"], parse_overrides(context.args))


@datasets_app.command("list")
def datasets_list(as_json: JsonOption = False) -> None:
    """List the data sets there are cards of."""
    from ctdenoise.training.resources import names, resource

    titles = {n: json.loads((resource("datasets", n) / "dataset.json").read_text())["title"] for n in names("datasets")}
    if as_json:
        _print_json([{"name": name, "title": title} for name, title in titles.items()])
        return
    for name, title in titles.items():
        print(f"{name:<20} {title}")


@datasets_app.command("show")
def datasets_show(name: Annotated[str, typer.Argument(help="Name of a data set.")]) -> None:
    """Show a data set's card: origin, licence, how to obtain, split."""
    from ctdenoise.training.resources import resource

    print((resource("datasets", name) / "README.md").read_text(encoding="utf-8"))


@datasets_app.command("prepare")
def datasets_prepare(
    name: Annotated[str, typer.Argument(help="Name of a data set.")],
    path: Annotated[Path, typer.Argument(help="Where its files are.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The datalist; NAME.json if not given.")] = None,
    validation: Annotated[
        list[str] | None, typer.Option(help="CT: a patient to validate with, by PatientID or folder; repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check what was downloaded and write a MONAI datalist, split by patient."""
    from ctdenoise.training.datasets import prepare, write_datalist

    data = prepare(name, path, validation=validation or None)
    target = output or Path(f"{name}.json")
    write_datalist(data, target)
    if as_json:
        _print_json({"datalist": str(target), **{section: len(items) for section, items in data.items()}})
        return
    print(f"{target}: " + ", ".join(f"{len(items)} for {section}" for section, items in data.items()))


@models_app.command("fetch")
def models_fetch(
    name: Annotated[str, typer.Argument(help="clip-rn50, clip-rn101, clip-rn50x4 or clip-rn50x16.")] = "clip-rn50",
    as_json: JsonOption = False,
) -> None:
    """Download CLIP's weights from the open_clip hub into its cache, to train on or to take to another machine."""
    from ctdenoise.models.sources import clip_weights
    from ctdenoise.models.weights import file_sha256

    path = clip_weights(name)
    sha256 = file_sha256(path)
    if as_json:
        _print_json({"name": name, "file": str(path), "sha256": sha256})
        return
    print(f"{path}: SHA-256 {sha256}")


@models_app.command("import")
def models_import(
    checkpoint: Annotated[Path, typer.Argument(help="The authors' net_g_latest.pth.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Becomes a model folder.")],
    name: Annotated[str | None, typer.Option(help="Of the model; the folder's if not given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Turn a checkpoint of the paper's authors into a model folder for ctdenoise run --model."""
    from ctdenoise.models.authors import import_authors

    description = import_authors(checkpoint, output, name=name)
    if as_json:
        _print_json(asdict(description))
        return
    print(f"{output}: {description.summary}")


@models_app.command("list")
def models_list(as_json: JsonOption = False) -> None:
    """List the models that ship."""
    from ctdenoise.models import zoo

    descriptions = [zoo.describe(name) for name in zoo.available()]
    if as_json:
        _print_json([asdict(d) for d in descriptions])
        return
    for description in descriptions:
        print(f"{description.name:<20} {description.summary}")


@models_app.command("show")
def models_show(model: Annotated[str, typer.Argument(help="Name or folder.")], as_json: JsonOption = False) -> None:
    """Show a model's card, or with --json its description."""
    from ctdenoise.models import zoo

    description = zoo.describe(model)
    if as_json:
        _print_json(asdict(description))
        return
    card = zoo.model_folder(model) / "README.md"
    if card.is_file():
        print(card.read_text(encoding="utf-8"))
    else:
        for name, value in asdict(description).items():
            print(f"{name:<16} {value}")


@models_app.command("verify")
def models_verify(
    model: Annotated[str | None, typer.Argument(help="Name or folder; all that ship if not given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that weights files are the ones their model names, by SHA-256."""
    from ctdenoise.models import zoo

    verified = [zoo.verify(name) for name in ([model] if model else zoo.available())]
    if as_json:
        _print_json([{"name": d.name, "sha256": d.sha256} for d in verified])
        return
    for description in verified:
        print(f"{description.name}: encoder and decoder are intact")


def _load(model: str, device: str, batch_size: int) -> Denoiser:
    from ctdenoise.inference import Denoiser

    return Denoiser.from_pretrained(model, device=device, batch_size=batch_size)


def _interrupted() -> typer.Exit:
    print("ctdenoise: interrupted; the same command goes on where this one ended", file=sys.stderr)
    return typer.Exit(130)


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))


def _series_entry(series: Series) -> dict[str, Any]:
    positions = [s.position for s in series.slices if s.position is not None]
    return {
        "uid": series.uid,
        "study_uid": series.study_uid,
        "number": series.number,
        "description": series.description,
        "slices": len(series.slices),
        "rows": series.rows,
        "columns": series.columns,
        "first_mm": round(min(positions), 2) if positions else None,
        "last_mm": round(max(positions), 2) if positions else None,
    }


def _say_result(folder: Path, manifest: dict[str, Any], written: int) -> None:
    done, asked = len(manifest["slices"]), manifest["source"]["slices"]
    if written == 0 and manifest["status"] == "complete":
        print(f"{folder}: all {done} slices were there already; --overwrite writes them again")
        return
    clipped = f", {manifest['clipped']} values clipped to what the stored bits hold" if manifest["clipped"] else ""
    print(f"{folder}: {done} of {asked} slices, {written} now in {manifest['seconds']:.1f} s{clipped}")
    for failure in manifest["failed"]:
        print(f"ctdenoise: {failure['file']}: {failure['reason']}", file=sys.stderr)


def _say_skipped(skipped: list[tuple[Path, str]], *, everything: bool = False) -> None:
    """Name skipped files, or where there are many of a kind one of each."""
    by_reason: dict[str, list[Path]] = {}
    for path, reason in skipped:
        by_reason.setdefault(reason, []).append(path)
    for reason, paths in by_reason.items():
        for path in paths if everything else paths[:1]:
            print(f"skipped {path}: {reason}", file=sys.stderr)
        if not everything and len(paths) > 1:
            print(f"  and {len(paths) - 1} more for the same reason", file=sys.stderr)


@contextmanager
def _progress(as_json: bool) -> Iterator[Progress | None]:
    """Show a progress bar on a terminal, nothing in a pipe."""
    if as_json or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())

    class Shown:
        def start(self, name: str, slices: int, done: int) -> None:
            self.task = bar.add_task(name, total=slices, completed=done)

        def advance(self) -> None:
            bar.advance(self.task)

    with Bar(*columns, console=Console(stderr=True)) as bar:
        yield Shown()
