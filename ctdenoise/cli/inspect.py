"""``ctdenoise inspect``; imports neither torch nor MONAI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctdenoise.cli.common import JsonOption, print_json, print_skipped

if TYPE_CHECKING:
    from ctdenoise.io.dicom.discover import Series


def inspect(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A DICOM file, folder or zip archive.")],
    as_json: JsonOption = False,
) -> None:
    """List the CT series in INPUT, what would be skipped and why."""
    from ctdenoise.io.dicom.archive import opened
    from ctdenoise.io.dicom.discover import discover, input_tree

    with opened(input_tree(source)) as files:
        found = discover(files)
    if as_json:
        print_json(
            {
                "series": [_entry(s) for s in found.series],
                "skipped": [{"file": s.name, "reason": s.reason, "failed": s.failed} for s in found.skipped],
            }
        )
    else:
        _print_table(found.series)
        print_skipped([(s.name, s.reason) for s in found.skipped], everything=True)
    raise typer.Exit(1 if any(s.failed for s in found.skipped) or not found.series else 0)


def _print_table(series: tuple[Series, ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("number", "description", "slices", "matrix", "from … to / mm", "SeriesInstanceUID")
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
    console = Console()
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
