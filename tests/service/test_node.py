"""The node: from received images to sent results, over every kind of end."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage
from pynetdicom import AE, _config, evt

from ctdenoise.cli import main
from ctdenoise.cli.process import configure_node
from ctdenoise.inference import Denoiser, RunOptions, denoise
from ctdenoise.models import NetworkConfig, build_network, zoo
from ctdenoise.service import node as node_module
from ctdenoise.service.entry import Entry, State
from ctdenoise.service.job import process
from ctdenoise.service.node import Node
from ctdenoise.service.outcome import JobOutcome
from ctdenoise.service.settings import Settings
from tests.conftest import make_series
from tests.models.test_zoo import DESCRIPTION
from tests.service.conftest import Clock, make_settings, send


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("zoo") / "small"
    zoo.save_model(build_network(NetworkConfig(**DESCRIPTION["network"]), seed=0), folder, **DESCRIPTION)
    return folder


class Pacs:
    """A C-STORE server that keeps what it gets."""

    def __init__(self) -> None:
        self.images: dict[str, Dataset] = {}
        self.received = 0
        self.status = 0
        entity = AE("PACS")
        entity.add_supported_context(CTImageStorage)
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)])
        assert server is not None
        self.server = server
        self.port = int(server.server_address[1])

    def _store(self, event: evt.Event) -> int:
        self.received += 1
        if self.status == 0:
            image = event.dataset
            image.file_meta = event.file_meta
            self.images[image.SOPInstanceUID] = image
        return self.status


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    server = Pacs()
    yield server
    server.server.shutdown()


class WorkerHere:
    """The worker without its process: works when it is asked."""

    def __init__(self, settings: Settings, initialise: Callable[[], None]) -> None:
        self.settings, self.entry, self.stops = settings, None, lambda: False
        self.crash: BaseException | None = None

    def start(self) -> None:
        """Do nothing."""

    def submit(self, entry: Entry) -> None:
        self.entry = entry

    def poll(self, seconds: float = 0) -> JobOutcome | None:
        if self.entry is None:
            return None
        if self.crash:
            raise self.crash
        outcome = process(self.entry, self.settings, self.stops)
        self.entry = None
        return outcome

    def stop(self, seconds: float) -> JobOutcome | None:
        self.entry = None
        return None


class Running:
    """A node whose turns the test takes."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings, self.clock = settings, clock
        self.node = Node(settings, lambda: None, clock)
        configure_node(self.node.spool.partial)
        self.node.receiver.start()

    def send(self, source: Path | list[Path], calling: str = "SCANNER") -> list[int]:
        paths = sorted(source.iterdir()) if isinstance(source, Path) else source
        statuses = send(self.node.receiver.port, [dcmread(path) for path in paths], calling)
        for _ in range(200):
            if self.node.receiver.associations == 0:
                break
            time.sleep(0.02)
        return statuses

    def turn(self, seconds: float = 0) -> None:
        self.node.turn()
        self.clock.now += seconds
        for _ in range(3):
            self.node.turn()
        for sender in self.node.senders:
            sender.send_due()
        self.node.turn()

    def states(self) -> dict[str, int]:
        return {s.value: len(e) for s in State if (e := self.node.spool.entries(s))}

    def end(self) -> None:
        """End as a process that is killed does: without a word."""
        self.node.receiver.stop()
        self.node.spool.release()


@pytest.fixture
def begin(tmp_path, monkeypatch, model, pacs) -> Iterator[Callable[..., Running]]:
    monkeypatch.setattr(node_module, "Worker", WorkerHere)
    running: list[Running] = []
    clock = Clock()

    def start(**sections: Any) -> Running:
        sections.setdefault("rules", [{"name": "all", "model": str(model), "strength": 1.0}])
        destination = {"name": "pacs", "host": "127.0.0.1", "port": pacs.port, "ae_title": "PACS"}
        sections.setdefault("destinations", [destination])
        running.append(Running(make_settings(tmp_path, **sections), clock))
        return running[-1]

    yield start
    for each in running:
        each.end()


def by_run(source: Path, folder: Path, model: Path) -> dict[str, np.ndarray]:
    """Return the pixels of ``ctdenoise run`` by UID."""
    outcome = denoise(source, folder, model=Denoiser.from_pretrained(model), options=RunOptions(strength=1.0))
    images = [dcmread(path) for result in outcome.results for path in result.folder.glob("*.dcm")]
    return {str(image.SOPInstanceUID): image.pixel_array for image in images}


def assert_equal(images: dict[str, Dataset], expected: dict[str, np.ndarray]) -> None:
    assert images.keys() == expected.keys()
    for uid, values in expected.items():
        np.testing.assert_array_equal(images[uid].pixel_array, values)


def test_the_same_images_as_by_run(begin, pacs, model, tmp_path):
    source = make_series(tmp_path / "source", slices=4)
    node = begin()
    assert node.send(source) == [0] * 4
    node.turn()
    assert node.states() == {"incoming": 1}  # not quiet yet
    node.turn(6)
    assert node.states() == {"sent": 1}
    assert_equal(pacs.images, by_run(source, tmp_path / "run", model))


def test_late_slices_complete_the_series_that_was_sent(begin, pacs, model, tmp_path):
    source = make_series(tmp_path / "source", slices=4)
    paths = sorted(source.iterdir())
    node = begin()
    node.send(paths[:3])
    node.turn(6)
    assert pacs.received == 3
    node.send(paths[2:])
    node.turn(6)
    assert node.states() == {"sent": 1}
    assert pacs.received == 4  # only the new one
    assert_equal(pacs.images, by_run(source, tmp_path / "run", model))


def test_results_that_come_back_are_left_alone(begin, pacs, tmp_path):
    source = make_series(tmp_path / "source", slices=2)
    node = begin()
    node.send(source)
    node.turn(6)
    returned = tmp_path / "returned"
    returned.mkdir()
    for number, image in enumerate(pacs.images.values()):
        image.save_as(returned / str(number), enforce_file_format=True)
    assert node.send(returned) == [0, 0]
    node.turn(6)
    assert node.states() == {"sent": 2}
    assert pacs.received == 2
    assert sorted(e.record().left_alone for e in node.node.spool.entries(State.SENT)) == ["", "made by ctdenoise"]


def test_rules_choose(begin, pacs, model, tmp_path):
    rules = [{"name": "skipped", "kernel": ["B30*"], "skip": True}, {"name": "rest", "model": str(model)}]
    node = begin(rules=rules)
    node.send(make_series(tmp_path / "a"))
    node.turn(6)
    assert pacs.received == 0
    (entry,) = node.node.spool.entries(State.SENT)
    assert entry.record().left_alone == "rule skipped"
    node.end()
    none = begin(rules=[{"name": "other", "modality": ["MR"]}])
    none.send(make_series(tmp_path / "b", edit=lambda image, _: setattr(image, "ConvolutionKernel", "B70f")))
    none.turn(6)
    assert "no rule matches" in {e.record().left_alone for e in none.node.spool.entries(State.SENT)}


def test_damaged_slices_are_named_and_the_rest_is_sent(begin, pacs, tmp_path):
    def cut(image: Dataset, index: int) -> None:
        if index == 1:
            image.PixelData = image.PixelData[:100]

    node = begin()
    node.send(make_series(tmp_path / "source", edit=cut))
    node.turn(6)
    assert pacs.received == 2
    (entry,) = node.node.spool.entries(State.FAILED)
    (problem,) = entry.record().problems
    assert "PixelData" in problem
    assert "SECRET" not in problem


def test_a_destination_that_refuses_and_then_accepts(begin, pacs, tmp_path):
    pacs.status = 0xA700
    node = begin(retry={"first_s": 10, "attempts": 3})
    node.send(make_series(tmp_path / "source"))
    node.turn(6)
    assert node.states() == {"outgoing": 1}
    assert pacs.received == 1  # out of resources: the rest is not tried
    pacs.status = 0
    node.turn(11)
    assert node.states() == {"sent": 1}
    assert len(pacs.images) == 3


def test_given_up_and_tried_again_by_hand(begin, pacs, tmp_path):
    pacs.status = 0xC001
    node = begin(retry={"first_s": 1, "attempts": 2})
    node.send(make_series(tmp_path / "source"))
    node.turn(6)
    node.turn(6)
    assert node.states() == {"failed": 1}
    (entry,) = node.node.spool.entries(State.FAILED)
    assert entry.record().problems == ["not sent to pacs: 3 × status 0xC001"]
    pacs.status = 0
    assert node.node.spool.retry_failed() == 1
    node.turn()
    assert node.states() == {"sent": 1}
    assert len(pacs.images) == 3


@pytest.mark.parametrize("state", [s.value for s in State if s not in (State.SENT, State.FAILED)])
def test_a_restart_from_any_state_goes_on(state, begin, pacs, model, tmp_path):
    source = make_series(tmp_path / "source", slices=3)
    node = begin()
    node.send(source)
    if state != "incoming":
        (entry,) = node.node.spool.entries(State.INCOMING)
        ready = node.node.spool.complete(entry)
        assert ready is not None
    if state in ("working", "outgoing"):
        working = node.node.spool.move(ready, State.WORKING)
        outcome = process(working, node.settings, (lambda: True) if state == "working" else lambda: False)
        if state == "outgoing":
            node.node._finished(working, outcome)
            pacs.status = 0xC001
            node.turn()
            pacs.status, pacs.received = 0, 0
    assert node.states() == {state: 1}
    node.end()
    again = begin()
    again.turn(60)
    again.turn(60)
    assert again.states() == {"sent": 1}
    assert pacs.received == 3
    assert_equal(pacs.images, by_run(source, tmp_path / "run", model))


def test_a_series_over_which_the_worker_dies_twice_has_failed(begin, tmp_path, monkeypatch):
    node = begin()
    node.send(make_series(tmp_path / "source"))
    worker = node.node.worker

    def die(seconds: float = 0) -> JobOutcome | None:
        working, worker.entry = worker.entry, None
        problems = ["the process that worked on it died (exit code -9)"]
        return JobOutcome("crashed", problems=problems) if working else None

    monkeypatch.setattr(worker, "poll", die)
    node.turn(6)
    (entry,) = node.node.spool.entries(State.FAILED)
    assert "died" in entry.record().problems[0]


def test_no_work_is_begun_on_a_full_disk(begin, tmp_path):
    node = begin()
    node.send(make_series(tmp_path / "source"))
    node.node.spool.free_bytes = lambda: -1  # type: ignore[method-assign]
    node.turn(6)
    assert node.states() == {"ready": 1}
    assert node.node.problems() == ["disk full"]


def test_what_was_sent_is_removed_after_its_time(begin, tmp_path, monkeypatch):
    node = begin()
    node.send(make_series(tmp_path / "source"))
    node.turn(6)
    assert node.states() == {"sent": 1}
    monkeypatch.setattr(Entry, "changed", lambda self: node.clock.now)
    node.turn(100)
    assert node.states() == {"sent": 1}
    monkeypatch.setattr(Entry, "changed", lambda self: node.clock.now - 25 * 3600)
    node.turn(100)
    assert node.states() == {}


def test_metrics_have_states_and_no_patient(begin, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    node = begin()
    source = make_series(tmp_path / "source")
    node.send(source)
    node.clock.now += 3
    measured = node.node.measure()
    assert measured["series"]["incoming"] == 1
    assert measured["oldest_seconds"]["incoming"] == 3
    assert measured["events_total"]["stored"] == 3
    node.turn(6)
    image = dcmread(next(source.iterdir()))
    files = [p for p in node.node.spool.folder.rglob("*") if p.suffix != ".dcm"]
    texts = [*(str(p) for p in files), *(p.read_text() for p in files if p.name == "series.json")]
    texts += [json.dumps(node.node.measure()), *(str(vars(r)) for r in caplog.records if r.name == "ctdenoise.node")]
    for secret in ("SECRET", str(image.PatientID), image.SOPInstanceUID, "Water"):
        assert not any(secret in text for text in texts if secret)


def settings_file(folder: Path, pacs: Pacs, model: Path) -> Path:
    path = folder / "node.toml"
    path.write_text(f"""
[node]
port = 0
allowed_ae_titles = ["*"]
[spool]
folder = "{folder / "spool"}"
least_free_gb = 0
[[destinations]]
name = "pacs"
host = "127.0.0.1"
port = {pacs.port}
ae_title = "PACS"
[[rules]]
name = "all"
model = "{model}"
strength = 1.0
[work]
device = "cpu"
""")
    return path


def call(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["ctdenoise", "serve", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_once_drains_the_spool_with_a_real_worker(start, pacs, model, tmp_path, monkeypatch, capsys):
    source = make_series(tmp_path / "source")
    received = start()
    received.send(sorted(source.iterdir()))
    received.receiver.stop()
    failed = received.spool.move(received.spool.entries(State.INCOMING)[0], State.FAILED)
    path = settings_file(tmp_path, pacs, model)
    assert call(monkeypatch, path, "--once") == 1  # what has failed before is left
    assert call(monkeypatch, path, "--retry") == 0
    assert not failed.folder.exists()
    monkeypatch.setattr(_config, "STORE_RECV_CHUNKED_DATASET", False)  # of the server here
    assert call(monkeypatch, path, "--once") == 0
    assert_equal(pacs.images, by_run(source, tmp_path / "run", model))
    assert "SECRET" not in "".join(capsys.readouterr())


def test_usage(monkeypatch, tmp_path, capsys):
    assert call(monkeypatch, "--example") == 0
    path = tmp_path / "node.toml"
    path.write_text(capsys.readouterr().out)
    assert call(monkeypatch, path, "--check") == 0
    assert call(monkeypatch) == 2
    assert call(monkeypatch, path, "--check", "--once") == 2
    path.write_text("[node]\n")
    assert call(monkeypatch, path, "--check") == 1
    assert "node.allowed_ae_titles" in capsys.readouterr().err


def test_serving_answers_and_stops(begin, tmp_path):
    """`serve` itself, with threads that send, until it is asked to stop."""
    node = begin()
    node.node.receiver.stop()
    stop = threading.Event()
    thread = threading.Thread(target=node.node.serve, args=(stop.is_set,))
    thread.start()
    try:
        for _ in range(200):
            if node.node.web:
                break
            time.sleep(0.02)
        assert node.node.problems() == []
        assert node.send(make_series(tmp_path / "source")) == [0, 0, 0]
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()


def test_a_restart_names_the_series_that_was_in_work(begin, tmp_path):
    killed = begin()
    killed.send(make_series(tmp_path / "source", slices=1))
    spool = killed.node.spool
    spool.move(spool.entries(State.INCOMING)[0], State.WORKING)
    killed.end()
    again = begin()
    assert again.node.events.counts()["resumed"] == 1
    assert again.states() == {"ready": 1}
    again.end()
    assert "resumed" not in begin().node.events.counts(), "it was not in work"
