"""A receiver on loopback, and a sender that is pynetdicom's."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pynetdicom import AE, _config

from ctdenoise.cli.process import configure_node
from ctdenoise.service.events import Events
from ctdenoise.service.receiver import Receiver
from ctdenoise.service.settings import Settings
from ctdenoise.service.spool import Spool

Start = Callable[..., "Reception"]


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def node_process(monkeypatch, tmp_path) -> None:
    """Make the settings of a process that receives, and undo them at the end."""
    monkeypatch.setattr(_config, "STORE_RECV_CHUNKED_DATASET", False)
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", False)
    monkeypatch.setattr(_config, "LOG_HANDLER_LEVEL", "none")
    monkeypatch.setattr(logging.getLogger("pynetdicom"), "propagate", False)
    monkeypatch.setattr(tempfile, "tempdir", None)


def make_settings(folder: Path, **changed: Any) -> Settings:
    """Return settings for tests; `changed` are sections, merged with those here."""
    sections: dict[str, Any] = {
        "node": {"port": 0, "allowed_ae_titles": ["SCANNER"], "quiet_s": 5, "timeout_s": 5},
        "spool": {"folder": str(folder / "spool"), "least_free_gb": 0},
        "http": {"port": 0},
        "destinations": [{"name": "pacs", "host": "127.0.0.1", "port": 1, "ae_title": "PACS"}],
        "rules": [{"name": "all", "strength": 1.0}],
    }
    for name, values in changed.items():
        sections[name] = {**sections.get(name, {}), **values} if isinstance(values, dict) else values
    return Settings.model_validate(sections)


class Reception:
    """A receiver and its spool."""

    def __init__(self, settings: Settings) -> None:
        self.clock, self.events, self.settings = Clock(), Events(), settings
        self.spool = Spool(settings.spool.folder, self.clock)
        configure_node(self.spool.partial)
        self.receiver = Receiver(settings, self.spool, self.events, clock=self.clock)
        self.receiver.start()

    def files(self, state: str = "incoming") -> list[Path]:
        return sorted((self.spool.folder / state).glob("*/in/*.dcm"))

    def send(self, images: Sequence[Dataset | Path], calling: str = "SCANNER") -> list[int]:
        """Send images over one association; return the status of each."""
        with_meta = [image if isinstance(image, Dataset) else dcmread(image) for image in images]
        return send(self.receiver.port, with_meta, calling)


def send(port: int, images: Sequence[Dataset], calling: str = "SCANNER", called: str = "CTDENOISE") -> list[int]:
    entity = AE(calling)
    for kind in {(image.SOPClassUID, image.file_meta.TransferSyntaxUID) for image in images}:
        entity.add_requested_context(*kind)
    association = entity.associate("127.0.0.1", port, ae_title=called)
    assert association.is_established
    try:
        return [int(association.send_c_store(image).Status) for image in images]
    finally:
        association.release()


@pytest.fixture
def start(tmp_path) -> Iterator[Start]:
    """Start receivers, which are stopped at the end."""
    started: list[Reception] = []

    def begin(**sections: Any) -> Reception:
        started.append(Reception(make_settings(tmp_path, **sections)))
        return started[-1]

    yield begin
    for reception in started:
        reception.receiver.stop()
