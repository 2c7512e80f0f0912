"""How every run goes, whatever the source: lock, plan, execute, record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from ctdenoise.errors import Help, InputError
from ctdenoise.inference.locking import output_lock
from ctdenoise.inference.manifest import Manifest, OperationEntry, read_manifest
from ctdenoise.inference.operations import OperationRequest, SeriesSample, SliceOperation
from ctdenoise.inference.results import Progress, SeriesResult
from ctdenoise.io.dicom.series import Skipped

PlanType = TypeVar("PlanType")


class Run(Protocol, Generic[PlanType]):
    """The processing of one series, volume or photograph."""

    @property
    def target(self) -> Path:
        """Output folder or file, which the lock protects."""

    def plan(self) -> PlanType | SeriesResult:
        """Look at earlier results and resolve the operation; a result if there is nothing left to do."""

    def execute(self, plan: PlanType) -> None:
        """Process what is left and write it, each file whole or not at all."""

    def record(self, plan: PlanType, status: str) -> SeriesResult:
        """Write the manifest, also of a run that was interrupted."""


def carry_out(run: Run[PlanType], progress: Progress) -> SeriesResult:
    """Carry out a run, alone on its output.

    Raises
    ------
    InputError
        If the source cannot be processed or the output cannot be written.
    """
    with output_lock(run.target, progress):
        try:
            plan = run.plan()
            if isinstance(plan, SeriesResult):
                return plan
            try:
                run.execute(plan)
            except BaseException:
                run.record(plan, "interrupted")
                raise
            return run.record(plan, "complete")
        except OSError as error:
            raise InputError(
                f"cannot be written: {error.strerror or error}",
                path=error.filename or run.target,
                hint="free space or choose another folder; the same command then continues where this one ended",
                see=Help.CANNOT_WRITE,
            ) from error


@dataclass(frozen=True)
class ResolvedRun:
    """The operation of a run, its entry in the manifest, and warnings for the user."""

    operation: SliceOperation
    entry: OperationEntry
    warnings: list[str]


def resolve_operation(
    request: OperationRequest,
    sample: Callable[[], SeriesSample],
    earlier: Manifest | None,
    *,
    name: str,
    progress: Progress,
) -> ResolvedRun:
    """Resolve the parameters of an operation: those of the run that is continued, or else measured in the series.

    Parameters
    ----------
    request
        The operation as asked for.
    sample
        Reads slices to measure in.
    earlier
        Manifest of the run that is continued; None begins a new one.
    name
        Of the series or file, for messages.
    progress
        Gets warnings.
    """
    if earlier:
        parameters = earlier.operation.parameters
        operation = request.restore(parameters)
        return ResolvedRun(operation, OperationEntry.of(operation.provenance, earlier.operation.measured), [])
    resolved = request.resolve(sample())
    for warning in resolved.warnings:
        progress.message(f"{name}: {warning}")
    entry = OperationEntry.of(resolved.operation.provenance, dict(resolved.measured))
    return ResolvedRun(resolved.operation, entry, list(resolved.warnings))


def other_results(folder: Path, pattern: str, is_same_source: Callable[[Manifest], bool]) -> list[str]:
    """Return names of other output folders that hold results of the same source."""
    manifests = ((path.parent, read_manifest(path)) for path in folder.parent.glob(pattern))
    return sorted(other.name for other, m in manifests if m and other != folder and is_same_source(m))


def failed_alone(error: InputError, path: Path, *, only_one: bool) -> Skipped:
    """Return the note of an input that cannot be processed while others can; raise the error if it is the only one."""
    if only_one:
        raise error.at(error.path or path) from error
    return Skipped(error.path or path, error.reason, failed=True)
