"""The spool: states are folders, nothing is lost at any moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctdenoise.errors import InputError
from ctdenoise.service.entry import Entry, State, Stored
from ctdenoise.service.record import SeriesRecord
from ctdenoise.service.spool import Spool, series_key


@pytest.fixture
def spool(tmp_path) -> Spool:
    return Spool(tmp_path / "spool", lambda: 12.0)


def add(spool: Spool, instance: str, content: bytes = b"a", series: str = "1.2") -> tuple[str, Stored]:
    file = spool.partial / "received"
    file.write_bytes(content)
    key = series_key("1", series)
    return key, spool.add(file, key, instance, "SCANNER")


def names(entry: Entry) -> list[str]:
    return sorted(path.name for path in entry.images.iterdir())


def test_an_image_is_there_once(spool):
    key, stored = add(spool, "1.2.1")
    assert stored == Stored.NEW
    assert add(spool, "1.2.1") == (key, Stored.SAME)
    assert add(spool, "1.2.1", b"b") == (key, Stored.OTHER)
    (entry,) = spool.entries(State.INCOMING)
    assert [path.read_bytes() for path in entry.images.iterdir()] == [b"a"]
    assert entry.record() == SeriesRecord(calling_ae_title="SCANNER", received=12.0)
    assert list(spool.partial.iterdir()) == []


@pytest.mark.parametrize("state", [s for s in State if s != State.INCOMING])
def test_an_image_that_is_known_in_any_state_is_not_added_again(state, spool):
    key, _ = add(spool, "1.2.1")
    spool.move(spool.entries(State.INCOMING)[0], state)
    assert add(spool, "1.2.1") == (key, Stored.SAME)
    assert add(spool, "1.2.1", b"b") == (key, Stored.OTHER)
    assert spool.entries(State.INCOMING) == []


@pytest.mark.parametrize("state", [State.READY, State.OUTGOING, State.SENT, State.FAILED])
def test_late_images_join_what_is_there(state, spool):
    add(spool, "1.2.1")
    first = spool.move(spool.entries(State.INCOMING)[0], state)
    first.results.mkdir()
    first.write(first.record().model_copy(update={"results": {"2.25.1": "0001-x/0001.dcm"}, "problems": ["one"]}))
    add(spool, "1.2.2")
    ready = spool.complete(spool.entries(State.INCOMING)[0])
    assert ready is not None
    assert len(names(ready)) == 2
    assert ready.results.is_dir()
    assert ready.record().results == {"2.25.1": "0001-x/0001.dcm"}
    assert ready.record().problems == []
    assert [len(spool.entries(s)) for s in State] == [0, 1, 0, 0, 0, 0]


def test_late_images_wait_for_the_worker_and_the_sender(spool):
    add(spool, "1.2.1")
    spool.move(spool.entries(State.INCOMING)[0], State.WORKING)
    add(spool, "1.2.2")
    assert spool.complete(spool.entries(State.INCOMING)[0]) is None
    outgoing = spool.move(spool.entries(State.WORKING)[0], State.OUTGOING)
    with spool.held(outgoing) as there, spool.held(outgoing):
        assert there
        assert spool.complete(spool.entries(State.INCOMING)[0]) is None
    assert spool.complete(spool.entries(State.INCOMING)[0]) is not None


def test_a_merge_that_was_cut_off_is_finished(spool, monkeypatch):
    add(spool, "1.2.1")
    spool.move(spool.entries(State.INCOMING)[0], State.SENT)
    for number in range(2, 6):
        add(spool, f"1.2.{number}")
    rename, moved = Path.rename, []

    def cut_off(self: Path, target: Path) -> Path:
        moved.append(self)
        if len(moved) == 4:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", cut_off)
        with pytest.raises(KeyboardInterrupt):
            spool.complete(spool.entries(State.INCOMING)[0])
    again = Spool(spool.folder)
    again.recover()
    ready = again.complete(again.entries(State.INCOMING)[0])
    assert ready is not None
    assert len(names(ready)) == 5
    assert again.entries(State.INCOMING) == []


def test_a_restart_continues_what_the_worker_had_and_clears_the_rest(spool):
    add(spool, "1.2.1")
    spool.move(spool.entries(State.INCOMING)[0], State.WORKING)
    (spool.partial / "cut-off").write_bytes(b"half")
    again = Spool(spool.folder)
    again.recover()
    assert len(again.entries(State.READY)) == 1
    assert list(again.partial.iterdir()) == []


def test_one_process_at_a_time(spool):
    spool.acquire()
    with pytest.raises(InputError, match="in use"):
        Spool(spool.folder).acquire()
    spool.release()


def test_a_damaged_record_is_an_empty_one(spool):
    add(spool, "1.2.1")
    (entry,) = spool.entries(State.INCOMING)
    (entry.folder / "series.json").write_bytes(b"{")
    assert entry.record() == SeriesRecord()


def test_removed_series_are_gone(spool):
    add(spool, "1.2.1")
    spool.remove(spool.entries(State.INCOMING)[0])
    assert spool.entries(State.INCOMING) == []
    assert list(spool.partial.iterdir()) == []
