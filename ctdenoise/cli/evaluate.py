"""``ctdenoise evaluate``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctdenoise.cli.common import JsonOption, print_json, show_progress
from ctdenoise.evaluation.protocols import DEFAULT_PROTOCOL, PROTOCOLS, Mask, ProtocolName, SuiteName
from ctdenoise.evaluation.windows import DEFAULT_WINDOWS, WindowName

if TYPE_CHECKING:
    from ctdenoise.evaluation.document import Evaluation, Fidelity
    from ctdenoise.evaluation.physics_document import Insert
    from ctdenoise.evaluation.protocols import Measurement

#: Metrics shown on the terminal; the files contain all.
_SHOWN = ("psnr", "ssim", "rmse", "vif")
_DEFAULT_MODELS = ("natural-lite", "natural-gaussian")
_INPUT, _METRICS, _SUITE, _OUTPUT = "Images", "Metrics", "Suite of photographs", "Output"


ReferenceOption = Annotated[
    Path | None,
    typer.Option(
        help="Reference images: a DICOM series, a NIfTI, NRRD or MHA volume, an NPY array of HU, or photographs.",
        rich_help_panel=_INPUT,
    ),
]
TestOption = Annotated[
    list[str] | None,
    typer.Option(help="Images to evaluate, as PATH or NAME=PATH; repeatable.", rich_help_panel=_INPUT),
]
NoisyOption = Annotated[Path | None, typer.Option(help="The noisy images that were denoised.", rich_help_panel=_INPUT)]
InsertOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Circular insert of a phantom, as ROW,COLUMN,RADIUS: centre in pixels, radius in mm; repeatable.",
        rich_help_panel=_INPUT,
    ),
]
ProtocolOption = Annotated[
    ProtocolName | None,
    typer.Option(
        help="Follow the protocol of a publication exactly, instead of every metric in each window.",
        rich_help_panel=_METRICS,
    ),
]
WindowOption = Annotated[
    list[WindowName] | None,
    typer.Option(
        help=f"HU window to compute metrics in; repeatable (default: {', '.join(DEFAULT_WINDOWS)}).",
        show_default=False,
        rich_help_panel=_METRICS,
    ),
]
MaskOption = Annotated[
    Mask, typer.Option(help="Pixels that metrics are computed over: all, or the body.", rich_help_panel=_METRICS)
]
SuiteOption = Annotated[
    SuiteName | None,
    typer.Option(
        help="Evaluate models for photographs on the paper's data sets instead of images.", rich_help_panel=_SUITE
    ),
]
DataOption = Annotated[
    Path | None, typer.Option(help="Folder that contains a folder for each data set.", rich_help_panel=_SUITE)
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        help=f"Name of a model or a model folder; repeatable (default: {', '.join(_DEFAULT_MODELS)}).",
        show_default=False,
        rich_help_panel=_SUITE,
    ),
]
OutputOption = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        help="Folder for metrics.json, metrics.csv and report.html, or for suite.json and suite.md.",
        rich_help_panel=_OUTPUT,
    ),
]


@dataclass(frozen=True)
class _Choices:
    """The metrics options of one command."""

    protocol: ProtocolName | None
    windows: Sequence[WindowName]
    mask: Mask
    inserts: Sequence[Insert]

    def check(self) -> None:
        """Refuse options that contradict a protocol."""
        if self.protocol and self.windows:
            raise typer.BadParameter("--window: expected no windows, as a protocol has its own")
        if self.protocol and self.mask is not Mask.NONE:
            raise typer.BadParameter("--mask: expected none, as a protocol measures all pixels")

    def command(self, images: Iterable[str]) -> str:
        """Return the command with placeholders for paths, which may name a patient."""
        words = ["ctdenoise evaluate"]
        for name in images:
            words.append(f"--{name} {name.upper()}" if name in ("reference", "noisy") else f'--test "{name}=IMAGES"')
        words += [f"--protocol {self.protocol}"] if self.protocol else []
        words += [f"--window {window}" for window in self.windows]
        words += [f"--mask {self.mask}"] if self.mask is not Mask.NONE else []
        words += [f"--insert {one.row:g},{one.column:g},{one.radius_mm:g}" for one in self.inserts]
        return " ".join([*words, "-o OUTPUT"])

    def measurements(self, *, photograph: bool) -> tuple[Measurement, ...]:
        """Return the windows and metrics to measure."""
        from ctdenoise.evaluation.metrics import default_measurements, photograph_measurements

        if photograph:
            if self.protocol or self.windows or self.inserts or self.mask is not Mask.NONE:
                raise typer.BadParameter(
                    "--protocol, --window, --mask and --insert apply to HU, but these images are photographs"
                )
            return photograph_measurements()
        return PROTOCOLS[self.protocol] if self.protocol else default_measurements(self.windows or DEFAULT_WINDOWS)


def evaluate(
    *,
    reference: ReferenceOption = None,
    test: TestOption = None,
    noisy: NoisyOption = None,
    insert: InsertOption = None,
    protocol: ProtocolOption = None,
    window: WindowOption = None,
    mask: MaskOption = Mask.NONE,
    suite: SuiteOption = None,
    data: DataOption = None,
    model: ModelOption = None,
    output: OutputOption,
    as_json: JsonOption = False,
) -> None:
    """Measure image quality: fidelity to a reference and CT physics, with a report.

    Slices are matched by their source images, else by position, file name or order. Without a reference, only CT
    physics is measured.
    """
    if suite or data or model:
        if not suite or data is None or reference or noisy or test:
            raise typer.BadParameter("expected --suite and --data, without --reference, --test and --noisy")
        _suite(data, model or _DEFAULT_MODELS, output, as_json)
        return
    sources = _sources(reference, noisy, test or [])
    choices = _Choices(protocol, window or (), mask, [_insert(text) for text in insert or ()])
    choices.check()
    evaluation = _evaluate(sources, choices, output, as_json)
    print_json(evaluation.as_json()) if as_json else _print_summary(evaluation, output)


def _evaluate(sources: dict[str, Path], choices: _Choices, output: Path, as_json: bool) -> Evaluation:
    from ctdenoise.evaluation.controls import with_controls
    from ctdenoise.evaluation.evaluate import evaluate as evaluate_images
    from ctdenoise.evaluation.pairing import align
    from ctdenoise.evaluation.results import write_results
    from ctdenoise.evaluation.stacks import open_stack
    from ctdenoise.io.dicom.archive import opened
    from ctdenoise.io.dicom.discover import input_tree
    from ctdenoise.io.folders import require_outside

    require_outside(output, map(input_tree, sources.values()))
    with ExitStack() as archives, show_progress(as_json) as progress:
        roots = {name: archives.enter_context(opened(path)).root for name, path in sources.items()}
        aligned = with_controls(align({name: open_stack(root) for name, root in roots.items()}))
        measurements = choices.measurements(photograph=aligned.base.is_photograph)
        if progress:
            progress.start("slices", len(aligned), 0)
        evaluation = evaluate_images(
            aligned,
            measurements,
            protocol=choices.protocol or DEFAULT_PROTOCOL,
            mask=choices.mask,
            inserts=choices.inserts,
            command=choices.command(sources),
            advance=progress.advance if progress else None,
        )
        write_results(evaluation, aligned, output)
    return evaluation


def _suite(data: Path, models: Sequence[str], output: Path, as_json: bool) -> None:
    from ctdenoise.evaluation.suite import find_datasets, natural_ood, suite_table
    from ctdenoise.files import write_whole
    from ctdenoise.inference import Denoiser
    from ctdenoise.io.folders import require_outside

    require_outside(output, [data])
    methods = {name: Denoiser.from_pretrained(name).denoise_image for name in models}
    with show_progress(as_json) as progress:
        if progress:
            progress.start("images", sum(len(dataset.pairs) for dataset in find_datasets(data)[0]), 0)
        result = natural_ood(data, methods, advance=progress.advance if progress else None)
    output.mkdir(parents=True, exist_ok=True)
    write_whole(output / "suite.json", json.dumps(result.as_json(), indent=1))
    write_whole(output / "suite.md", suite_table(result) + "\n")
    print_json(result.as_json()) if as_json else print(suite_table(result))


def _sources(reference: Path | None, noisy: Path | None, tests: list[str]) -> dict[str, Path]:
    """Return the images by name; the others are matched with the first."""
    sources = {"reference": reference} if reference else {}
    if noisy:
        sources["noisy"] = noisy
    for number, text in enumerate(tests, start=1):
        name, equals, path = text.partition("=")
        # A path may contain an equals sign itself.
        if not equals or Path(text).exists():
            name, path = "test" if len(tests) == 1 else f"test {number}", text
        if name in ("reference", "noisy"):
            raise typer.BadParameter(f"--test: expected another name than {name}, which is reserved for --{name}")
        if name in sources:
            raise typer.BadParameter(f"--test: expected a different name for each, found {name} twice")
        sources[name] = Path(path)
    if not sources.keys() - {"reference"}:
        raise typer.BadParameter("expected --test or --noisy, found neither: there is nothing to evaluate")
    return sources


def _insert(text: str) -> Insert:
    from ctdenoise.evaluation.physics_document import Insert

    try:
        row, column, radius = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--insert: expected ROW,COLUMN,RADIUS, found {text}") from None
    return Insert(row=row, column=column, radius_mm=radius)


def _print_summary(evaluation: Evaluation, output: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    windows = list(dict.fromkeys(entry.window for entry in evaluation.fidelity))
    rows: dict[tuple[str, str], dict[str, Fidelity]] = {}
    for entry in sorted(evaluation.fidelity, key=lambda entry: windows.index(entry.window)):
        rows.setdefault((entry.window, entry.image), {})[entry.metric] = entry
    units = {entry.metric: entry.unit for entry in evaluation.fidelity}
    shown = [metric for metric in _SHOWN if metric in units]
    if shown:
        heads = [f"{metric.upper()} / {units[metric]}" if units[metric] else metric.upper() for metric in shown]
        table = Table("window", "image", *heads, title=f"mean of {len(evaluation.slices)} slices")
        for (window, image), metrics in rows.items():
            table.add_row(window, image, *(_cell(metrics.get(metric)) for metric in shown))
        Console().print(table)
    for warning in evaluation.warnings:
        print(f"note: {warning}")
    print(output / "report.html")


def _cell(entry: Fidelity | None) -> str:
    if entry is None or entry.mean is None:
        return "–"
    return f"{entry.mean:.{2 if entry.unit else 4}f}"
