"""The report of a run: what can be told of a result without a reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ctdenoise.errors import InputError
from ctdenoise.io.dicom.discover import Series, Skipped

if TYPE_CHECKING:
    from ctdenoise.evaluation.stacks import Stack

REPORT = "report.html"


def report_series(series: Series, source: Path, folder: Path) -> Skipped | None:
    """Write ``report.html`` beside the slices that were made of a series; see :func:`report_file`.

    Parameters
    ----------
    series, source
        What was denoised, and where it was found.
    folder
        The result.
    """

    def opened() -> Stack:
        from ctdenoise.evaluation.stacks import series_stack

        return series_stack(series, source)

    return _report(opened, folder, folder / REPORT)


def report_file(source: Path, result: Path) -> Skipped | None:
    """Write physics and pictures of some slices of a result, ``NAME.report.html``, which takes seconds.

    Parameters
    ----------
    source, result
        A volume or a photograph.

    Returns
    -------
    Skipped or None
        Why there is none; the result itself is whole.

    Raises
    ------
    OSError
        If it cannot be written.
    """

    def opened() -> Stack:
        from ctdenoise.evaluation.stacks import open_stack

        return open_stack(source)

    return _report(opened, result, report_path(result))


def report_path(result: Path) -> Path:
    """Return where the report of a file is."""
    return result.with_name(f"{result.name}.{REPORT}")


def _report(source: Callable[[], Stack], result: Path, path: Path) -> Skipped | None:
    # Only those who want a report pay for its imports.
    from ctdenoise.evaluation.evaluate import NOISY, evaluate
    from ctdenoise.evaluation.pairing import align
    from ctdenoise.evaluation.report import write_report
    from ctdenoise.evaluation.stacks import open_stack

    try:
        aligned = align({NOISY: source(), "denoised": open_stack(result)})
        write_report(evaluate(aligned, (), protocol="none"), aligned, path)
    except InputError as error:
        return Skipped(path, f"no report: {error.reason}")
    return None
