"""A series in the spool."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ctdenoise.service.record import Delivery, SeriesRecord, read_record, write_record


class State(StrEnum):
    """States of a series, which are folders."""

    INCOMING = "incoming"
    READY = "ready"
    WORKING = "working"
    OUTGOING = "outgoing"
    SENT = "sent"
    FAILED = "failed"


class Stored(StrEnum):
    """What became of a received image."""

    NEW = "new"
    SAME = "same"
    OTHER = "other"


@dataclass(frozen=True)
class Entry:
    """A series in the spool.

    Attributes
    ----------
    folder
        ``STATE/KEY``.
    """

    folder: Path

    @property
    def key(self) -> str:
        """Hash of study and series."""
        return self.folder.name

    @property
    def images(self) -> Path:
        """Received files."""
        return self.folder / "in"

    @property
    def results(self) -> Path:
        """Derived series."""
        return self.folder / "out"

    def record(self) -> SeriesRecord:
        """Return what is known of the series."""
        return read_record(self.folder / "series.json", SeriesRecord)

    def changed(self) -> float:
        """Return when its record was last written, seconds since 1970."""
        try:
            return (self.folder / "series.json").stat().st_mtime
        except FileNotFoundError:
            return self.folder.stat().st_mtime

    def write(self, record: SeriesRecord) -> None:
        """Replace what is known of the series."""
        write_record(self.folder / "series.json", record)

    def delivery(self, destination: str) -> Delivery:
        """Return how far the sending to a destination is."""
        return read_record(self._delivery(destination), Delivery)

    def write_delivery(self, destination: str, delivery: Delivery) -> None:
        """Replace how far the sending to a destination is."""
        write_record(self._delivery(destination), delivery)

    def _delivery(self, destination: str) -> Path:
        return self.folder / f"delivery-{destination}.json"
