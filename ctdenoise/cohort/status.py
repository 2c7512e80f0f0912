"""How far a cohort is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ctdenoise.cohort.plan import PlanEntry
from ctdenoise.cohort.state import SeriesState


@dataclass
class Status:
    """Numbers of series and slices.

    Attributes
    ----------
    done, incomplete, failed, running, missing
        Series: complete; with slices that failed; without result; being worked on; neither begun nor finished.
    slices_done, slices_left
        Of finished series; of running and missing ones.
    seconds_per_slice
        Of the finished series; None without one.
    problems
        Id and reason of each series that is incomplete or failed.
    """

    done: int = 0
    incomplete: int = 0
    failed: int = 0
    running: int = 0
    missing: int = 0
    slices_done: int = 0
    slices_left: int = 0
    seconds_per_slice: float | None = None
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until all is done if as many processes go on as work now; None if none does or none has finished."""
        if self.seconds_per_slice is None or not self.running:
            return None
        return round(self.slices_left * self.seconds_per_slice / self.running, 1)


def cohort_status(entries: Sequence[PlanEntry], output: Path) -> Status:
    """Look what became of each series of a plan.

    Parameters
    ----------
    entries
        The plan.
    output
        Output folder of the cohort.
    """
    status, seconds = Status(), 0.0
    for entry in entries:
        state = SeriesState(output, entry.id)
        if record := state.record():
            status.slices_done += record.slices
            seconds += record.seconds
            if record.status == "complete":
                status.done += 1
            else:
                status.incomplete += 1
                status.problems[entry.id] = "; ".join(record.problems)
        elif state.is_locked():
            status.running += 1
            status.slices_left += entry.slices
        elif failure := state.failure():
            status.failed += 1
            status.problems[entry.id] = failure.reason
        else:
            status.missing += 1
            status.slices_left += entry.slices
    if status.slices_done:
        status.seconds_per_slice = seconds / status.slices_done
    return status
