"""The series of a plan on the workers of dask.distributed, which may come, go and die."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, WorkerPlugin, as_completed

from ctdenoise.cohort.outcome import Outcome, WorkSettings
from ctdenoise.cohort.plan import PlanEntry, read_planned
from ctdenoise.errors import InputError

_LOG = logging.getLogger("ctdenoise")
_PLUGIN = "ctdenoise-cohort"
#: Exit code of a worker process after an error that no series should cause; whatever started it starts a new one.
_EXIT_CRASHED = 70
#: A series is given out again so often when its worker dies; those that it killed are marked long before.
_MOST_SUBMISSIONS = 10
#: Seconds between looks for results and for a wish to stop.
_POLL = 0.1
#: Environment variables for the threads of torch and of the libraries below it.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

#: In a worker: whether it should stop, and who may use the model.
_stopping = threading.Event()
_one_at_a_time = threading.Lock()


class WorkerSetup(WorkerPlugin):  # type: ignore[misc]
    """Prepares each worker process, and lets it end its series in an orderly way when it is closed.

    Parameters
    ----------
    configure
        Makes the settings of a process.
    """

    name = _PLUGIN

    def __init__(self, configure: Callable[[], None]) -> None:
        self._configure = configure

    def setup(self, worker: Any) -> None:
        """Prepare a process."""
        self._configure()
        _stopping.clear()

    def teardown(self, worker: Any) -> None:
        """Ask the series that is being processed to stop after its slice."""
        _stopping.set()


def work(offset: int, plan: Path, output: Path, settings: WorkSettings) -> Outcome:
    """Process a series in a worker. An error that no series should cause ends the process, which may be damaged."""
    from ctdenoise.cohort.work import process  # and torch with it, which the client does not need

    with _one_at_a_time:  # of several threads of a worker, which share the model
        try:
            return process(read_planned(plan, offset), output, settings, _stopping.is_set, wait=True)
        except (InputError, OSError) as error:
            # As text: it also arrives where the error's class cannot be unpickled.
            raise RuntimeError(str(error)) from None
        except Exception:
            _LOG.exception("a worker ends after an unexpected error")
            os._exit(_EXIT_CRASHED)


def _ask_to_stop() -> None:
    _stopping.set()


def run_on_dask(
    entries: Sequence[PlanEntry],
    plan: Path,
    output: Path,
    settings: WorkSettings,
    stop: Callable[[], bool],
    *,
    scheduler: str | None,
    workers: int,
    threads: int,
    configure: Callable[[], None],
) -> Iterator[Outcome]:
    """Process series on a dask cluster, and yield what became of each.

    Parameters
    ----------
    entries
        What to process, in this order.
    plan, output
        Absolute paths that all workers see.
    settings, stop
        See :func:`~ctdenoise.cohort.part_run.run_here`.
    scheduler
        Address of a scheduler; None starts a cluster of processes on this machine.
    workers, threads
        Of the cluster on this machine: processes, and threads of each.
    configure
        Makes the settings of a worker process; importable there.

    Raises
    ------
    InputError
        If the scheduler cannot be reached.
    """
    with ExitStack() as stack:
        client = stack.enter_context(_client(stack, scheduler, workers, threads))
        client.register_plugin(WorkerSetup(configure))
        stack.callback(client.unregister_worker_plugin, _PLUGIN)
        yield from _Submissions(client, partial(work, plan=plan, output=output, settings=settings)).results(
            entries, stop
        )


def _client(stack: ExitStack, scheduler: str | None, workers: int, threads: int) -> Client:
    if scheduler:
        try:
            return Client(scheduler)
        except (OSError, ValueError) as error:
            raise InputError(f"{scheduler}: expected the address of a dask scheduler, found none: {error}") from error
    environment = dict.fromkeys(_THREADS, str(threads))
    stack.enter_context(dask.config.set({"distributed.nanny.pre-spawn-environ": environment}))
    cluster = LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        dashboard_address=None,
        memory_limit=0,  # dask would kill a worker near its share of memory, whatever is free
        silence_logs=logging.CRITICAL,
    )
    return Client(stack.enter_context(cluster))


class _Submissions:
    """Series that were given to a cluster.

    Parameters
    ----------
    client
        Of the cluster.
    task
        Called with the offset of a series in the plan, on a worker.
    """

    def __init__(self, client: Client, task: Callable[[int], Outcome]) -> None:
        self._client = client
        self._task = task
        self._entries: dict[str, tuple[PlanEntry, int]] = {}

    def results(self, entries: Sequence[PlanEntry], stop: Callable[[], bool]) -> Iterator[Outcome]:
        """Give out all series, and yield what became of each; those whose worker died are given out again."""
        running = as_completed([self._submit(entry, 1) for entry in entries], raise_errors=False)
        while running.count():
            if stop():
                self._client.run(_ask_to_stop, on_error="ignore")
            if not running.has_ready():
                time.sleep(_POLL)
                continue
            future = next(running)
            entry, submissions = self._entries.pop(future.key)
            outcome = self._outcome(entry, future)
            again = outcome is None or (outcome.status == "stopped" and not stop())  # by a worker that was closed
            if again and submissions < _MOST_SUBMISSIONS:
                running.add(self._submit(entry, submissions + 1))
            else:
                yield outcome or Outcome(entry.id, "failed", reason=f"{submissions} workers died before it was done")

    def _submit(self, entry: PlanEntry, submission: int) -> Future:
        future = self._client.submit(self._task, entry.offset, key=f"{entry.id}-{submission}", pure=False)
        self._entries[future.key] = entry, submission
        return future

    @staticmethod
    def _outcome(entry: PlanEntry, future: Future) -> Outcome | None:
        """Return a result; None if the worker died or left."""
        if future.status not in ("finished", "error"):
            return None
        try:
            outcome: Outcome = future.result()
        except (KilledWorker, CancelledError):  # also of a finished series: its result is lost with its worker
            return None
        except Exception as error:  # of the worker, of any class
            return Outcome(entry.id, "failed", reason=str(error))
        return outcome
