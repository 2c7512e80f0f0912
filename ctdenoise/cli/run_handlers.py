"""What ``ctdenoise run`` does with each result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctdenoise.inference import Denoiser, RunOptions
    from ctdenoise.inference.results import Progress, ResultHandler, SeriesResult
    from ctdenoise.io.dicom.series import Series, Skipped


class RunHandlers:
    """What is done with each result; see :class:`~ctdenoise.inference.results.ResultHandler`."""

    def __init__(self) -> None:
        self._handlers: list[ResultHandler] = []
        self.residuals: list[SeriesResult] = []

    def save_residual(self, output: Path, options: RunOptions, progress: Progress) -> None:
        """Write what was removed as a series."""
        from ctdenoise.audit.residual import ResidualWriter

        self._handlers.append(ResidualWriter(output, options, progress, self.residuals))

    def save_error(self, denoiser: Denoiser, progress: Progress) -> None:
        """Write bounds on the error of each voxel."""
        from ctdenoise.audit.run_error import ErrorWriter

        self._handlers.append(ErrorWriter(denoiser, progress))

    def audit(self) -> None:
        """Audit the result."""
        from ctdenoise.audit.run_audit import write_run_audit

        self._handlers.append(write_run_audit)

    def report(self) -> None:
        """Write a report."""
        from ctdenoise.evaluation.run_report import write_run_report

        self._handlers.append(write_run_report)

    def __call__(self, result: SeriesResult, source: Series | Path, input_path: Path) -> list[Skipped]:
        """Do it, and return what could not be done."""
        return [note for handler in self._handlers for note in handler(result, source, input_path)]
