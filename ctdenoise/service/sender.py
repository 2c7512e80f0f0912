"""Send results to one destination: again after longer and longer pauses, until the settings say that it has failed."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from ctdenoise.service.entry import Entry, State
from ctdenoise.service.events import Events
from ctdenoise.service.record import Delivery
from ctdenoise.service.settings import Destination, RetrySection
from ctdenoise.service.spool import Spool
from ctdenoise.service.transport import INTERRUPTED, Transport

#: Seconds between looks at the spool.
_POLL = 0.5


class Sender:
    """Sends what waits for one destination.

    Parameters
    ----------
    destination, retry
        From the settings.
    transport
        Sends files.
    spool, events
        Of the node.
    clock
        Seconds since 1970.
    chance
        Spreads attempts, so that not all series are sent again at the same time.
    """

    def __init__(
        self,
        destination: Destination,
        retry: RetrySection,
        transport: Transport,
        spool: Spool,
        events: Events,
        *,
        clock: Callable[[], float] = time.time,
        chance: random.Random | None = None,
    ) -> None:
        self.name = destination.name
        self._retry = retry
        self._transport = transport
        self._spool = spool
        self._events = events
        self._clock = clock
        self._chance = chance or random.Random()

    def run(self, stop: threading.Event) -> None:
        """Send until asked to stop."""
        while not stop.wait(_POLL):
            try:
                self.send_due(stop.is_set)
            except OSError as error:  # of the spool: what is sent is not lost, only not noted
                self._events.note("spool_failed", level=logging.ERROR, destination=self.name, reason=error.strerror)
                stop.wait(10)

    def send_due(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Attempt once to send each series whose time has come."""
        for entry in self._spool.entries(State.OUTGOING):
            if stop():
                return
            delivery = entry.delivery(self.name)
            if delivery.done or delivery.given_up or delivery.next_attempt > self._clock():
                continue
            if self.name in entry.record().destinations:
                with self._spool.held(entry) as there:
                    if there:
                        self._attempt(entry, delivery)

    def _attempt(self, entry: Entry, delivery: Delivery) -> None:
        files = {uid: entry.results / name for uid, name in entry.record().results.items()}
        left = {uid: path for uid, path in files.items() if uid not in delivery.sent}
        began = time.perf_counter()
        problem, accepted, refused = "", 0, []
        if left:
            outcome = self._transport.send(left)
            delivery.sent += outcome.accepted
            problem, accepted = outcome.problem, len(outcome.accepted)
            entry.write_delivery(self.name, delivery)
        if not problem:
            commitment = self._transport.commit(files)
            problem, refused = commitment.problem, commitment.refused
            delivery.sent = [uid for uid in delivery.sent if uid not in refused]
        if not problem:
            delivery.done, delivery.problem, delivery.attempts = True, "", 0
        elif problem != INTERRUPTED:
            self._postpone(delivery, problem, progress=accepted > 0)
        entry.write_delivery(self.name, delivery)
        self._events.note(
            "sent" if delivery.done else "given_up" if delivery.given_up else "send_failed",
            level=logging.INFO if delivery.done else logging.WARNING,
            series=entry.key,
            destination=self.name,
            images=accepted,
            seconds=round(time.perf_counter() - began, 3),
            **({"reason": problem, "attempts": delivery.attempts} if problem else {}),
        )

    def _postpone(self, delivery: Delivery, problem: str, *, progress: bool) -> None:
        delivery.attempts = 1 if progress else delivery.attempts + 1
        delivery.problem = problem
        delivery.given_up = delivery.attempts >= self._retry.attempts
        pause = min(self._retry.longest_s, self._retry.first_s * 2.0 ** min(delivery.attempts - 1, 60))
        delivery.next_attempt = self._clock() + pause * self._chance.uniform(0.5, 1.0)
