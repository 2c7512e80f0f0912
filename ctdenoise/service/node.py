"""The node: receives, has series denoised, sends; one thread decides what becomes of each series."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from pynetdicom import evt
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from ctdenoise.service.certificates import client_context
from ctdenoise.service.dicomweb import StowTransport, connect
from ctdenoise.service.dimse import Commitments, DimseTransport
from ctdenoise.service.entry import Entry, State
from ctdenoise.service.events import Events
from ctdenoise.service.outcome import JobOutcome
from ctdenoise.service.receiver import Receiver
from ctdenoise.service.sender import Sender
from ctdenoise.service.settings import Destination, Settings
from ctdenoise.service.spool import Spool
from ctdenoise.service.transport import Transport
from ctdenoise.service.web import Measured, Web
from ctdenoise.service.worker import Worker

#: Processes that may die over a series before it has failed.
MOST_CRASHES = 2
#: Seconds between looks at the spool, and between clean-ups.
_POLL, _CLEAN_UP = 0.5, 60.0
#: Seconds for a slice to finish when the node stops.
_PATIENCE = 60.0


class Node:
    """A node on its spool.

    Parameters
    ----------
    settings
        Of the node.
    initialise
        Makes the settings of the process that computes; picklable.
    clock
        Seconds since 1970.

    Raises
    ------
    InputError
        If another node uses the spool, or something that the settings refer to is absent.
    """

    def __init__(
        self, settings: Settings, initialise: Callable[[], None], clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings
        self.events = Events()
        self.spool = Spool(settings.spool.folder, clock)
        self._clock = clock
        self._stopping = threading.Event()
        self._commitments = Commitments()
        handlers = [(evt.EVT_N_EVENT_REPORT, self._commitments.report, StorageCommitmentPushModel)]
        wanted = any(d.storage_commitment for d in settings.destinations)
        self.receiver = Receiver(settings, self.spool, self.events, handlers=handlers if wanted else (), clock=clock)
        self.senders = [
            Sender(d, settings.retry, self._transport(d), self.spool, self.events, clock=clock)
            for d in settings.destinations
        ]
        self.worker = Worker(settings, initialise)
        #: Answers while the node serves.
        self.web: Web | None = None
        self._cleaned = 0.0
        #: No series is begun before this time.
        self._not_before = 0.0
        self._turned = clock()
        self.spool.acquire()
        for entry in self.spool.recover():
            self.events.note("resumed", series=entry.key)

    def serve(self, stop: Callable[[], bool]) -> None:
        """Serve until asked to stop; then finish the slice and the image that are under way.

        Raises
        ------
        InputError
            If a port cannot be listened on.
        """
        threads = [threading.Thread(target=s.run, args=(self._stopping,), name=s.name) for s in self.senders]
        try:
            self.receiver.start()
            self.worker.start()
            self.web = Web(self.settings.http, self.problems, self.measure)
            for thread in threads:
                thread.start()
            while not stop():
                self.turn()
                time.sleep(_POLL)
        finally:
            self._stopping.set()
            self.receiver.stop()
            self.close()
            for thread in threads:
                if thread.ident:
                    thread.join(_PATIENCE)
            if self.web:
                self.web.stop()
            self.spool.release()
            self.events.note("stopped")

    def drain(self, stop: Callable[[], bool]) -> bool:
        """Process and send what is in the spool, each once; receive nothing.

        Returns
        -------
        bool
            Whether everything was processed and sent.
        """
        try:
            for entry in self.spool.entries(State.INCOMING):
                self._complete(entry)
            while not stop() and (self.worker.entry or self.spool.entries(State.READY)):
                self._work(wait=_POLL)
                if not self.worker.entry:  # the disk is full
                    break
            for sender in self.senders:
                sender.send_due(stop)
            self._settle()
        finally:
            self.close()
            self.spool.release()
        left = [state for state in State if state != State.SENT and self.spool.entries(state)]
        return not left

    def close(self) -> None:
        """End the worker after its slice; what it leaves is continued."""
        entry = self.worker.entry
        outcome = self.worker.stop(_PATIENCE)
        if entry:
            self._finished(entry, outcome or JobOutcome("stopped"))

    def turn(self) -> None:
        """Look once at everything that may have become due."""
        try:
            self.receiver.tidy()
            for entry in self.spool.entries(State.INCOMING):
                if self.receiver.is_quiet(entry.key):
                    self._complete(entry)
            self._work()
            self._settle()
            if self._clock() - self._cleaned >= _CLEAN_UP:
                self._clean_up()
        except OSError as error:  # of the spool, as a disk that is full: tried again
            self.events.note("spool_failed", level=logging.ERROR, reason=error.strerror or type(error).__name__)
        self._turned = self._clock()

    def problems(self) -> list[str]:
        """Return why the node is not healthy."""
        found = []
        if not self.receiver.port:
            found.append("not listening")
        if not self._has_space():
            found.append("disk full")
        if self._clock() - self._turned > _PATIENCE:
            found.append("main loop stuck")
        return found

    def measure(self) -> Measured:
        """Return the values of all metrics."""
        series, oldest, now = {}, {}, self._clock()
        for state in State:
            entries = self.spool.entries(state)
            series[state.value] = float(len(entries))
            if state not in (State.SENT, State.FAILED):
                received = [entry.record().received for entry in entries]
                oldest[state.value] = now - min((time for time in received if time), default=now)
        return {
            "series": series,
            "oldest_seconds": oldest,
            "events_total": {name: float(count) for name, count in self.events.counts().items()},
            "associations": {"": float(self.receiver.associations)},
            "free_bytes": {"": float(self.spool.free_bytes())},
            "healthy": {"": float(not self.problems())},
        }

    def _complete(self, entry: Entry) -> None:
        ready = self.spool.complete(entry)
        if ready:
            self.events.note("series_complete", series=ready.key, images=sum(1 for _ in ready.images.iterdir()))

    def _work(self, wait: float = 0) -> None:
        """Take what the worker has finished, and give it the series that waits longest."""
        entry = self.worker.entry
        outcome = self.worker.poll(wait)
        if entry and outcome:
            self._finished(entry, outcome)
        if self.worker.entry or not self._has_space() or self._clock() < self._not_before:
            return
        ready = self.spool.entries(State.READY)
        if ready:
            longest = min(ready, key=lambda entry: entry.record().received)
            self.worker.submit(self.spool.move(longest, State.WORKING))

    def _finished(self, entry: Entry, outcome: JobOutcome) -> None:
        try:
            crashes = self._note(entry, outcome)
        except OSError as error:  # the disk is full
            self.events.note("spool_failed", level=logging.ERROR, series=entry.key, reason=error.strerror)
            outcome, crashes = JobOutcome("no_space"), 0
        if outcome.kind == "no_space":
            self._not_before = self._clock() + _CLEAN_UP
        self.spool.move(entry, _next_state(outcome, crashes))
        self.events.note(
            f"series_{outcome.kind}",
            level=logging.INFO if outcome.kind in ("done", "left_alone", "stopped") else logging.WARNING,
            series=entry.key,
            rule=outcome.rule,
            images=len(outcome.results),
            seconds=outcome.seconds,
            problems=outcome.problems,
            **({"notes": outcome.notes} if outcome.notes else {}),
        )

    def _note(self, entry: Entry, outcome: JobOutcome) -> int:
        """Write down what became of a series; return how many processes have died over it."""
        record = entry.record()
        record.rule, record.results = outcome.rule, outcome.results
        record.destinations, record.problems = outcome.destinations, outcome.problems
        if outcome.kind == "crashed":
            record.crashes += 1
        if outcome.kind == "left_alone":
            record.left_alone, record.problems = "; ".join(outcome.problems), []
        for name in record.destinations:
            delivery = entry.delivery(name)
            entry.write_delivery(name, type(delivery)(sent=delivery.sent))
        entry.write(record)
        return record.crashes

    def _settle(self) -> None:
        """Bring series that were sent everywhere, or given up, into their last state."""
        for entry in self.spool.entries(State.OUTGOING):
            record = entry.record()
            deliveries = {name: entry.delivery(name) for name in record.destinations}
            if self.spool.is_held(entry) or not all(d.done or d.given_up for d in deliveries.values()):
                continue
            record.problems += [f"not sent to {n}: {d.problem}" for n, d in deliveries.items() if d.given_up]
            entry.write(record)
            self.spool.move(entry, State.FAILED if record.problems else State.SENT)

    def _clean_up(self) -> None:
        """Remove what was kept for its time."""
        self._cleaned = self._clock()
        self.receiver.forget({entry.key for entry in self.spool.entries(State.INCOMING)})
        self.spool.sweep(older_than=10 * self.settings.node.timeout_s)
        kept = {State.SENT: self.settings.spool.keep_sent_hours, State.FAILED: self.settings.spool.keep_failed_hours}
        for state, hours in kept.items():
            for entry in self.spool.entries(state):
                if self._clock() - entry.changed() >= hours * 3600:
                    self.spool.remove(entry)
                    self.events.note("series_removed", series=entry.key, state=state.value)

    def _has_space(self) -> bool:
        return self.spool.free_bytes() >= self.settings.spool.least_free_gb * 1e9

    def _transport(self, destination: Destination) -> Transport:
        node = self.settings.node
        if destination.url:
            return StowTransport(connect(destination.url, destination.token_variable, node.timeout_s))
        context = client_context(self.settings.tls) if destination.tls and self.settings.tls else None
        return DimseTransport(destination, node, context, self._commitments, self._stopping.is_set)


def _next_state(outcome: JobOutcome, crashes: int) -> State:
    if outcome.kind == "crashed":
        return State.FAILED if crashes >= MOST_CRASHES else State.READY
    states = {"done": State.OUTGOING, "left_alone": State.SENT, "failed": State.FAILED}
    return states.get(outcome.kind, State.READY)
