"""``ctdenoise audit``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctdenoise.cli.common import JsonOption, print_json, show_progress

if TYPE_CHECKING:
    from ctdenoise.audit.document import Audit


def audit(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="The series that was denoised: DICOM, a volume or an NPY array.")
    ],
    derived: Annotated[
        Path, typer.Argument(metavar="DERIVED", help="What was made of it, by ctdenoise or by any other program.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for audit.json and audit.html.")],
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if the audit fails.")] = False,
    phantom: Annotated[
        bool,
        typer.Option(
            "--phantom",
            help="Also insert lesions and denoise them: contrast, detectability, dose. Of results of ctdenoise.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Judge what was changed in a derived series against the noise of its source, without a reference.

    The verdict is pass, caution or fail, with reasons; docs/audit.md describes how it is reached and how often it is
    right.
    """
    from ctdenoise.audit.entry import audit as audit_series

    if phantom:
        from ctdenoise.cli.process import configure_torch

        configure_torch()

    with show_progress(as_json) as progress:

        def start(slices: int) -> Callable[[], None]:
            progress.start("slices", slices, 0)
            return progress.advance

        result = audit_series(source, derived, output, phantom=phantom, on_start=start)
    print_json(result.as_json()) if as_json else print_audit(result, output)
    raise typer.Exit(1 if strict and result.verdict == "fail" else 0)


def print_audit(result: Audit, output: Path) -> None:
    """Print the verdict, its reasons and where the page is."""
    print(result.sentence)
    for reason in result.reasons:
        where = f" Slices: {'; '.join(reason.slices)}." if reason.slices else ""
        print(f"{reason.severity}: {reason.text}{where}")
    if result.recommendation:
        print(result.recommendation.sentence)
    if result.phantom:
        print(result.phantom.dose.sentence)
    print(output / "audit.html")
