"""The report of a run: what can be measured in a result without a reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ctdenoise.errors import InputError
from ctdenoise.io.dicom.discover import Series, Skipped

if TYPE_CHECKING:
    from ctdenoise.evaluation.stacks import Stack

REPORT = "report.html"


def report_series(series: Series, source: Path, folder: Path) -> list[Skipped]:
    """Write ``report.html`` beside the derived slices of a series; see :func:`report_file`.

    Parameters
    ----------
    series, source
        What was processed, and the input path it was found at.
    folder
        Of the derived slices.
    """
    from ctdenoise.evaluation.stacks import series_stack

    try:
        return _report(series_stack(series, source), folder, folder / REPORT)
    except InputError as error:
        return [Skipped(folder / REPORT, f"no report: {error.reason}")]


def report_file(source: Path, result: Path) -> list[Skipped]:
    """Write ``NAME.report.html`` with measurements and pictures of some slices of a result; takes seconds.

    Parameters
    ----------
    source, result
        A volume or a photograph, before and after.

    Returns
    -------
    list
        Why there is no report, if there is none; the result itself is complete.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    from ctdenoise.evaluation.stacks import open_stack

    try:
        return _report(open_stack(source), result, report_path(result))
    except InputError as error:
        return [Skipped(report_path(result), f"no report: {error.reason}")]


def report_path(result: Path) -> Path:
    """Return the path of a file's report."""
    return result.with_name(f"{result.name}.{REPORT}")


def _report(source: Stack, result: Path, path: Path) -> list[Skipped]:
    # Imported here, as only reports need them.
    from ctdenoise.evaluation.evaluate import NOISY, evaluate
    from ctdenoise.evaluation.pairing import align
    from ctdenoise.evaluation.report import write_report
    from ctdenoise.evaluation.stacks import open_stack

    aligned = align({NOISY: source, "denoised": open_stack(result)})
    write_report(evaluate(aligned, (), protocol="none"), aligned, path)
    return []
