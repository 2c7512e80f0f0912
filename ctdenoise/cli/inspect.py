"""``ctdenoise inspect``; imports neither torch nor MONAI."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctdenoise.cli.common import JsonOption, print_json, print_skipped

if TYPE_CHECKING:
    from ctdenoise.io.dicom.series import Series, Skipped

#: Columns of a line where there is no terminal: wide enough that nothing is cut.
_PIPE_WIDTH = 400


def inspect(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A DICOM file, folder or zip archive.")],
    as_json: JsonOption = False,
) -> None:
    """List the CT series in INPUT, what would be skipped and why."""
    from ctdenoise.io.dicom.archive import opened
    from ctdenoise.io.dicom.discover import discover, input_tree

    with opened(input_tree(source)) as files:
        found = discover(files)
    skipped = [*found.skipped, *_cut_off(found.series)]
    if as_json:
        print_json(
            {
                "series": [_entry(s) for s in found.series],
                "skipped": [{"file": s.name, "reason": s.reason, "failed": s.failed} for s in skipped],
            }
        )
    else:
        _print_table(found.series)
        print_skipped([(s.name, s.reason) for s in skipped], everything=True)
    raise typer.Exit(1 if any(s.failed for s in skipped) or not found.series else 0)


def _cut_off(series: tuple[Series, ...]) -> list[Skipped]:
    """Return a note of each slice whose file ends before its pixel data do."""
    from ctdenoise.io.dicom.series import Skipped

    cut = [file for one in series for file in one.slices if file.missing_bytes]
    reason = "PixelData (7FE0,0010): {} bytes are missing; the file is cut off: copy or export it again"
    return [Skipped(file.path, reason.format(file.missing_bytes), failed=True, name=file.name) for file in cut]


def _print_table(series: tuple[Series, ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("number", "description", "slices", "matrix", "from … to / mm")
    table.add_column("SeriesInstanceUID", overflow="fold")  # whole, to be copied for --series
    for entry in map(_entry, series):
        span = "unknown" if entry["first_mm"] is None else f"{entry['first_mm']} … {entry['last_mm']}"
        table.add_row(
            str(entry["number"]),
            entry["description"],
            str(entry["slices"]),
            f"{entry['rows']}×{entry['columns']}",
            span,
            entry["uid"],
        )
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    console.print(table if series else "no CT series")
    for one in series:
        for warning in one.warnings:
            console.print(f"series {one.number}: {warning}")


def _entry(series: Series) -> dict[str, Any]:
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
        "warnings": list(series.warnings),
    }
