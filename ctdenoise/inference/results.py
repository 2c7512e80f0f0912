"""What a run reports while it works, and what it returns."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ctdenoise.errors import InputError
from ctdenoise.inference.manifest import Manifest
from ctdenoise.io.dicom.series import Series, Skipped

_LOG = logging.getLogger("ctdenoise")


class Progress(Protocol):
    """Receives the progress of a run."""

    def start(self, name: str, slices: int, done: int) -> None:
        """A series or volume begins, `done` of its slices being there from an earlier run."""

    def advance(self) -> None:
        """A slice was written or failed."""

    def message(self, text: str) -> None:
        """Something the user should know: a warning, or what is waited for."""


class LoggedProgress:
    """Sends messages to the logger ``ctdenoise``; the default."""

    def start(self, name: str, slices: int, done: int) -> None:
        """Log that a series begins."""
        _LOG.info("%s: %d slices, %d done before", name, slices, done)

    def advance(self) -> None:
        """Do nothing."""

    def message(self, text: str) -> None:
        """Log a warning."""
        _LOG.warning("%s", text)


@dataclass(frozen=True)
class SeriesResult:
    """What became of one series, volume or photograph.

    Attributes
    ----------
    folder
        Folder of the derived files.
    manifest
        Content of the manifest.
    written
        Slices written by this run; 0 if all were there.
    """

    folder: Path
    manifest: Manifest
    written: int


class ResultHandler(Protocol):
    """Called with each result while its source can still be read, e.g. to write a report."""

    def __call__(self, result: SeriesResult, source: Series | Path, input_path: Path) -> list[Skipped]:
        """Handle a result.

        Parameters
        ----------
        result
            Finished, or found finished.
        source
            The series, volume or photograph it was made from.
        input_path
            What the run was given.

        Returns
        -------
        list
            What could not be done, for the user.
        """


@dataclass(frozen=True)
class RunResult:
    """What became of a whole input.

    Attributes
    ----------
    results
        One for each series, volume or photograph.
    skipped
        Files that are no part of any, and inputs that could not be processed at all.
    """

    results: list[SeriesResult]
    skipped: tuple[Skipped, ...]

    @property
    def failed(self) -> bool:
        """Whether something that should have been processed was not."""
        return any(s.failed for s in self.skipped) or any(r.manifest.failed for r in self.results)

    def require_success(self) -> RunResult:
        """Return the result if everything was processed.

        Raises
        ------
        InputError
            Naming each file that was not; what could be processed is written.
        """
        notes = [f"{s.name}: {s.reason}" for s in self.skipped if s.failed]
        notes += [f"{note.file}: {note.reason}" for result in self.results for note in result.manifest.failed]
        if notes:
            raise InputError(f"{len(notes)} could not be processed, the rest is done: {'; '.join(notes)}")
        return self
