"""The report of a run: what can be measured in its results without a reference."""

from __future__ import annotations

from pathlib import Path

from ctdenoise.errors import InputError
from ctdenoise.evaluation.pairing import NOISY, align
from ctdenoise.evaluation.stacks import Stack, open_stack, source_stack
from ctdenoise.inference.results import SeriesResult
from ctdenoise.io.dicom.series import Series, Skipped

REPORT = "report.html"


def write_run_report(result: SeriesResult, source: Series | Path, input_path: Path) -> list[Skipped]:
    """Write a report beside a result that is new, has none, or was judged since: measurements and pictures of slices.

    The signature is that of :class:`~ctdenoise.inference.results.ResultHandler`.

    Returns
    -------
    list
        Why there is no report, if there is none; the result itself is complete.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path = report_path(result)
    if path.exists() and not result.written and not _judged_since(result, path):
        return []
    try:
        _write(source_stack(source, input_path), result, path)
    except InputError as error:
        return [Skipped(path, f"no report: {error.reason}")]
    except OSError:
        raise
    except Exception as error:  # a header or an image that measuring cannot cope with; the result itself is complete
        return [Skipped(path, f"no report: {type(error).__name__} while measuring")]
    return []


def report_path(result: SeriesResult) -> Path:
    """Return the path of a result's report: in the folder of a series, beside a volume or a photograph."""
    file = result.manifest.derived.file
    return result.folder / (f"{file}.{REPORT}" if file else REPORT)


def _judged_since(result: SeriesResult, report: Path) -> bool:
    """Whether an audit or error bounds are newer than the report, which says what they found."""
    entries = (result.manifest.audit, result.manifest.error_bounds)
    files = [result.folder / entry.file for entry in entries if entry]
    return any(file.exists() and file.stat().st_mtime_ns > report.stat().st_mtime_ns for file in files)


def _write(source: Stack, result: SeriesResult, path: Path) -> None:
    # Imported here: matplotlib is needed only for a report that is written.
    from ctdenoise.evaluation.controls import with_controls
    from ctdenoise.evaluation.evaluate import evaluate
    from ctdenoise.evaluation.report import write_report

    derived = result.folder / result.manifest.derived.file
    aligned = with_controls(align({NOISY: source, "denoised": open_stack(derived)}))
    write_report(evaluate(aligned, (), protocol="none"), aligned, path, made=result.manifest)
