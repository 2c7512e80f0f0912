"""The process that denoises: one, which keeps its models in memory and dies with the node."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING

from ctdenoise.service.entry import Entry
from ctdenoise.service.outcome import JobOutcome
from ctdenoise.service.settings import Settings

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

_CONTEXT = multiprocessing.get_context("spawn")


class Worker:
    """A process that works on one series at a time; it is started again when it has died.

    Parameters
    ----------
    settings
        Of the node.
    initialise
        Makes the settings of the process; picklable.
    """

    def __init__(self, settings: Settings, initialise: Callable[[], None]) -> None:
        self._settings = settings
        self._initialise = initialise
        self._stop = _CONTEXT.Event()
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        #: The series it works on; None if it has nothing to do.
        self.entry: Entry | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.is_alive()

    def start(self) -> None:
        """Start the process unless it runs; a series need not wait for its imports then."""
        if self.is_alive:
            return
        self._end()
        self._connection, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(
            target=_work, args=(theirs, self._stop, self._settings, self._initialise), name="worker", daemon=True
        )
        self._process.start()
        theirs.close()

    def submit(self, entry: Entry) -> None:
        """Give it a series."""
        self.start()
        assert self._connection is not None
        self.entry = entry
        try:
            self._connection.send(entry.folder)
        except OSError:  # it died this moment, which the next poll notices
            return

    def poll(self, seconds: float = 0) -> JobOutcome | None:
        """Return what became of the series once it is finished; None before that.

        A process that died over it gives the outcome ``crashed``.
        """
        if self.entry is None or self._connection is None:
            return None
        if not self._connection.poll(seconds) and self.is_alive:
            return None
        try:
            outcome: JobOutcome = self._connection.recv()
        except (EOFError, OSError):
            code = self._process.exitcode if self._process else None
            outcome = JobOutcome("crashed", problems=[f"the process that worked on it died (exit code {code})"])
            self._end()
        self.entry = None
        return outcome

    def stop(self, seconds: float) -> JobOutcome | None:
        """End the process after the slice it is at; return what became of its series.

        Parameters
        ----------
        seconds
            How long it is waited for; then it is killed, and what it wrote is continued later.
        """
        self._stop.set()
        outcome = self.poll(seconds)
        self._end()
        return outcome

    def _end(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None
        if self._process:
            self._process.join(1)
            self._process.kill()
            self._process.join()
            self._process.close()
            self._process = None


def _work(connection: Connection, stop: Event, settings: Settings, initialise: Callable[[], None]) -> None:
    """Process series until the node closes the connection."""
    for number in (signal.SIGINT, signal.SIGTERM):  # of a terminal or a service manager: the node says when to stop
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    initialise()
    from ctdenoise.service.job import process  # imports what computes

    while True:
        try:
            folder: Path = connection.recv()
        except (EOFError, OSError):
            return
        try:
            outcome = process(Entry(folder), settings, stop.is_set)
        except Exception as error:  # its text may hold values of a header
            outcome = JobOutcome("crashed", problems=[f"an error of this program: {type(error).__name__}"])
        connection.send(outcome)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        wait([parent.sentinel])
        os._exit(1)
