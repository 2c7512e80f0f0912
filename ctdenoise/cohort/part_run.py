"""The series of one part of a plan, one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ctdenoise.cohort.outcome import Outcome, WorkSettings
from ctdenoise.cohort.plan import PlanEntry, read_planned
from ctdenoise.cohort.work import process


def run_here(
    entries: Sequence[PlanEntry], plan: Path, output: Path, settings: WorkSettings, stop: Callable[[], bool]
) -> Iterator[Outcome]:
    """Process series, and yield what became of each.

    Series that another process works on come last, when it has perhaps finished them; then they are waited for.

    Parameters
    ----------
    entries
        What to process, in this order.
    plan
        The file that the entries are of.
    output, settings
        See :func:`~ctdenoise.cohort.work.process`.
    stop
        Whether to stop; asked after each slice.

    Raises
    ------
    InputError
        If this process cannot work on any series.
    OSError
        If `output` cannot be written.
    """
    busy = []
    for entry in entries:
        outcome = process(read_planned(plan, entry.offset), output, settings, stop, wait=False)
        if outcome.status == "busy":
            busy.append(entry)
        else:
            yield outcome
    for entry in busy:
        yield process(read_planned(plan, entry.offset), output, settings, stop, wait=True)
