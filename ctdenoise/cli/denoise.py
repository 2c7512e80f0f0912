"""``ctdenoise run``, ``inspect`` and ``demo``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctdenoise.cli.common import JsonOption, interrupted, print_json, say_outcome, say_skipped, show_progress

if TYPE_CHECKING:
    from ctdenoise.inference import Denoiser
    from ctdenoise.io.dicom import Series

ModelOption = Annotated[str, typer.Option(help="Name of a model that ships, or a model folder.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
EngineOption = Annotated[
    str, typer.Option(help="auto, eager, mixed, openvino, compile: the same answers at other speeds.")
]


def run(
    source: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="DICOM file, folder, zip; NIfTI, NRRD, MHA; photographs."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Gets a folder for each series.")],
    model: ModelOption = "ct-lowdose",
    strength: Annotated[
        str, typer.Option(help="0 keeps the source, 1 is fully denoised; auto leaves the noise of full dose.")
    ] = "auto",
    series: Annotated[str | None, typer.Option(help="Only this SeriesNumber or SeriesInstanceUID.")] = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Slices in the network at once; 16 on a GPU, else 1.")
    ] = None,
    full_field: Annotated[
        bool, typer.Option("--full-field", help="Denoise the air around the body too; HU in the body stay the same.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write a report beside each result: physics and pictures.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write again what is there.")] = False,
    transfer_syntax: Annotated[
        str, typer.Option(help="DICOM: explicit, rle, jpeg-ls, jpeg-2000, or source; all lossless.")
    ] = "explicit",
    classic: Annotated[bool, typer.Option("--classic", help="DICOM: enhanced CT becomes classic slices.")] = False,
    drop_private: Annotated[bool, typer.Option("--drop-private", help="DICOM: leave private elements out.")] = False,
    deidentify: Annotated[bool, typer.Option("--deidentify", help="DICOM: basic profile of PS3.15.")] = False,
    random_uids: Annotated[
        bool, typer.Option("--random-uids", help="DICOM: UIDs that follow from nothing; otherwise a run repeats them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Denoise the CT series, volume or photographs in INPUT; what comes out is of the same kind.

    A run that was cut off goes on when started again.
    """
    options = {
        "strength": _strength(strength),
        "overwrite": overwrite,
        "series": series,
        "report": report,
        "transfer_syntax": transfer_syntax,
        "classic": classic,
        "drop_private": drop_private,
        "deidentify": deidentify,
        "random_uids": random_uids,
    }
    from ctdenoise.inference import RunOptions, denoise_path

    try:
        RunOptions(**options)  # type: ignore[arg-type]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    denoiser = _load(model, device=device, engine=engine, batch_size=batch_size, full_field=full_field)
    try:
        with show_progress(as_json) as progress:
            outcome = denoise_path(denoiser, source, output, progress=progress, **options)
    except KeyboardInterrupt:
        raise interrupted() from None
    raise say_outcome(outcome, as_json)


def inspect(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A DICOM file, folder or zip archive.")],
    as_json: JsonOption = False,
) -> None:
    """Tell what is in INPUT, what would be denoised, what would be skipped and why."""
    from ctdenoise.io.dicom import discover
    from ctdenoise.io.dicom.archive import opened

    with opened(source) as root:
        found = discover(root)
    if as_json:
        print_json(
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
        say_skipped([(s.path, s.reason) for s in found.skipped], everything=True)
    raise typer.Exit(1 if any(s.failed for s in found.skipped) or not found.series else 0)


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Where series and picture go.")] = Path(
        "ctdenoise-demo"
    ),
    model: ModelOption = "ct-lowdose",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Denoise a simulated low-dose thorax and compare it with the truth; needs no data and no network."""
    denoiser = _load(model, device=device)
    from ctdenoise.demo import run_demo

    with show_progress(as_json) as progress:
        result = run_demo(output, denoiser, progress=progress, say=lambda text: print(f"{text} …", file=sys.stderr))
    if as_json:
        print_json({k: str(v) if isinstance(v, Path) else v for k, v in asdict(result).items()})
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
        ("report", result.report),
    ):
        print(f"{label:>9}: {path}")


def _strength(text: str) -> float | None:
    try:
        return None if text == "auto" else float(text)
    except ValueError:
        raise typer.BadParameter(f"--strength: expected auto or a number from 0 to 1, found {text}") from None


def _load(model: str, **options: Any) -> Denoiser:
    from ctdenoise.inference import Denoiser

    return Denoiser.from_pretrained(model, **options)


def _series_entry(series: Series) -> dict[str, Any]:
    positions = [s.position for s in series.slices if s.position is not None]
    return {
        "uid": series.uid,
        "study_uid": series.study_uid,
        "number": series.number,
        "description": series.description,
        "slices": sum(s.frames for s in series.slices),
        "rows": series.rows,
        "columns": series.columns,
        "first_mm": round(min(positions), 2) if positions else None,
        "last_mm": round(max(positions), 2) if positions else None,
    }
