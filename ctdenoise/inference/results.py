"""What a run tells while it goes on, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ctdenoise.io.dicom.discover import Skipped


class Progress(Protocol):
    """Told how a run goes on."""

    def start(self, name: str, slices: int, done: int) -> None:
        """A series or volume begins, of which `done` slices are there already."""

    def advance(self) -> None:
        """A slice was written or refused."""


@dataclass(frozen=True)
class SeriesResult:
    """What came of one series.

    Attributes
    ----------
    folder
        Where the derived series and its manifest are.
    manifest
        Its content.
    written
        Slices written now; 0 if a finished run was started again.
    """

    folder: Path
    manifest: dict[str, Any]
    written: int


@dataclass(frozen=True)
class FolderResult:
    """What came of a whole input: the series, and the files that are not part of any."""

    results: list[SeriesResult]
    skipped: tuple[Skipped, ...]

    @property
    def failed(self) -> bool:
        """Whether something that should have been denoised was not."""
        return any(s.failed for s in self.skipped) or any(r.manifest["failed"] for r in self.results)
