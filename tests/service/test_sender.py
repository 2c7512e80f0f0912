"""Sending: what was accepted is not sent again, and a day of failures is a day of longer and longer pauses."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from ctdenoise.service.dimse import Commitments, DimseTransport
from ctdenoise.service.entry import Entry, State
from ctdenoise.service.events import Events
from ctdenoise.service.sender import Sender
from ctdenoise.service.settings import Destination
from ctdenoise.service.spool import Spool
from ctdenoise.service.transport import Sent
from tests.conftest import make_series
from tests.service.conftest import Clock, make_settings


class Peer:
    """A destination that accepts so many images at a time."""

    def __init__(self) -> None:
        self.takes, self.calls, self.kept, self.forgets = 0, [], [], []

    def send(self, files: Mapping[str, Path]) -> Sent:
        taken = list(files)[: self.takes]
        self.calls.append(list(files))
        self.kept += taken
        return Sent(taken, "" if len(taken) == len(files) else "no connection")

    def commit(self, instances: Mapping[str, Path]) -> Sent:
        lost, self.forgets = self.forgets, []
        return Sent(problem="not kept" if lost else "", refused=lost)


class Sending:
    def __init__(self, folder: Path) -> None:
        self.clock, self.peer, self.events = Clock(), Peer(), Events()
        settings = make_settings(folder)
        self.spool = Spool(settings.spool.folder, self.clock)
        self.retry = settings.retry
        self.sender = Sender(
            settings.destinations[0],
            settings.retry,
            self.peer,
            self.spool,
            self.events,
            clock=self.clock,
            chance=random.Random(0),
        )
        file = self.spool.partial / "x"
        file.write_bytes(b"x")
        self.spool.add(file, "key", "3", "SCANNER")
        entry = self.spool.move(self.spool.entries(State.INCOMING)[0], State.OUTGOING)
        results = {f"2.25.{n}": f"a/{n}.dcm" for n in range(4)}
        entry.write(entry.record().model_copy(update={"results": results, "destinations": ["pacs"]}))

    @property
    def entry(self) -> Entry:
        return self.spool.entries(State.OUTGOING)[0]


@pytest.fixture
def sending(tmp_path) -> Sending:
    return Sending(tmp_path)


def test_what_was_accepted_is_not_sent_again(sending):
    sending.peer.takes = 3
    sending.sender.send_due()
    assert not sending.entry.delivery("pacs").done
    sending.sender.send_due()
    assert len(sending.peer.calls) == 1  # not before its time
    sending.clock.now += 31
    sending.sender.send_due()
    assert sending.peer.calls[1] == ["2.25.3"]
    assert sending.entry.delivery("pacs").done
    sending.sender.send_due()
    assert len(sending.peer.calls) == 2
    assert len(sending.peer.kept) == len(set(sending.peer.kept)) == 4


def test_a_day_of_retries(sending):
    begun, times = sending.clock.now, []
    while not sending.entry.delivery("pacs").given_up:
        sending.sender.send_due()
        times.append(sending.clock.now - begun)
        sending.clock.now = sending.entry.delivery("pacs").next_attempt - 1
        sending.sender.send_due()  # too early
        sending.clock.now += 1
    assert len(times) == len(sending.peer.calls) == sending.retry.attempts
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(15 <= pause <= 3601 for pause in pauses)
    assert max(pauses[:3]) < 130
    assert min(pauses[10:]) >= 1800
    assert 10 * 3600 < times[-1] < 30 * 3600
    sending.peer.takes = 4
    sending.clock.now += 1e6
    sending.sender.send_due()
    assert sending.peer.kept == []


def test_what_is_not_kept_is_sent_again(sending):
    sending.peer.takes, sending.peer.forgets = 4, ["2.25.2"]
    sending.sender.send_due()
    assert not sending.entry.delivery("pacs").done
    sending.clock.now += 31
    sending.sender.send_due()
    assert sending.peer.calls[1] == ["2.25.2"]
    assert sending.entry.delivery("pacs").done


def test_other_destinations_are_none_of_its_business(sending):
    sending.entry.write(sending.entry.record().model_copy(update={"destinations": ["archive"]}))
    sending.sender.send_due()
    assert sending.peer.calls == []


def send_to(host: str, port: int, folder: Path) -> Sent:
    make_series(folder / "in", slices=1)
    (file,) = (folder / "in").iterdir()
    destination = Destination(name="pacs", host=host, port=port, ae_title="PACS")
    transport = DimseTransport(destination, make_settings(folder).node, None, Commitments(), lambda: False)
    return transport.send({"2.25.1": file})


def test_a_host_that_does_not_exist_is_a_failed_attempt(tmp_path):
    sent = send_to("no.such.host.invalid", 104, tmp_path)
    assert sent == Sent(problem="no.such.host.invalid: expected a host that can be resolved, found none")


def test_a_destination_that_does_not_listen_is_named(tmp_path):
    assert send_to("127.0.0.1", 1, tmp_path).problem.startswith("127.0.0.1 port 1: no connection")
