"""What is known of each series in an output folder: finished, failed, being worked on.

In the output folder there is

- ``ID/``: a finished series, renamed into place as a whole, with its record ``series.json``;
- ``.cohort/locks/ID.lock``: locked by the process that works on the series;
- ``.cohort/attempts/ID-N.json``: attempt N was begun; removed where it ended in an orderly way;
- ``.cohort/failed/ID.json``: the series could not be processed, or crashed too often;
- ``.cohort/unfinished/ID/``: what was done of a series before its process was asked to stop.

Each file has one writer, which has the lock, and is written whole.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ctdenoise.files import write_whole

STATE = ".cohort"
RECORD = "series.json"
#: Attempts without an orderly end after which a series is left.
MOST_CRASHES = 2

Model = TypeVar("Model", bound=BaseModel)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SeriesRecord(_Entry):
    """A finished series."""

    id: str
    status: Literal["complete", "incomplete"] = Field(description="Incomplete if some slices failed.")
    folder: str = Field(description="Of the derived series, below that of this record.")
    slices: int = Field(description="Slices that were written.")
    seconds: float = Field(description="From the first slice read to the last written, all attempts' last one.")
    noise_before_hu: float | None = Field(description="Noise of the source in soft tissue; None if there is none.")
    noise_after_hu: float | None
    host: str
    finished: datetime
    problems: list[str] = Field(default_factory=list, description="What could not be processed, and why.")


class Attempt(_Entry):
    """An attempt that was begun."""

    id: str
    host: str
    process: int
    begun: datetime
    error: str = Field(default="", description="Kind of the error that ended it, if it was one.")


class Failure(_Entry):
    """A series without a result."""

    id: str
    reason: str
    crashed: bool = Field(description="Whether it is left, because its processes died; otherwise a run tries again.")
    attempts: list[Attempt] = Field(default_factory=list)
    time: datetime


def now() -> datetime:
    """Return the time, whole seconds of UTC."""
    return datetime.now(UTC).replace(microsecond=0)


class SeriesState:
    """The state of one series in an output folder.

    Parameters
    ----------
    output
        The output folder of the cohort.
    series_id
        See :class:`~ctdenoise.cohort.plan.PlannedSeries`.
    """

    def __init__(self, output: Path, series_id: str) -> None:
        self.id = series_id
        self.result = output / series_id
        self._state = output / STATE
        self.unfinished = self._state / "unfinished" / series_id
        self._failure = self._state / "failed" / f"{series_id}.json"
        self._lock = self._state / "locks" / f"{series_id}.lock"

    def record(self) -> SeriesRecord | None:
        """Return the record of a finished series; None if it is not finished."""
        return read_entry(self.result / RECORD, SeriesRecord)

    def failure(self) -> Failure | None:
        """Return why the series has no result; None if it has not failed."""
        return read_entry(self._failure, Failure)

    def attempts(self) -> list[Attempt]:
        """Return the attempts that had no orderly end, or go on."""
        found = (read_entry(path, Attempt) for path in sorted(self._state.glob(f"attempts/{self.id}-*.json")))
        return [attempt for attempt in found if attempt]

    def is_locked(self) -> bool:
        """Whether a process works on the series now."""
        if not self._lock.exists():
            return False
        try:
            with FileLock(self._lock, timeout=0):
                return False
        except Timeout:
            return True

    @contextmanager
    def locked(self, seconds: float = 0) -> Iterator[bool]:
        """Hold the lock, and yield whether it was free within so many seconds.

        The operating system releases it when the process dies. Where a file system has no locks between machines, two
        may work on one series; the first to finish gives the result.
        """
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._lock)
        try:
            lock.acquire(timeout=seconds)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def begin(self) -> Path:
        """Note that an attempt begins; return the file of the note."""
        attempt = Attempt(id=self.id, host=socket.gethostname(), process=os.getpid(), begun=now())
        path = self._state / "attempts" / f"{self.id}-{len(self.attempts()) + 1}.json"
        _write(path, attempt)
        return path

    def crashed(self, attempt: Path, error: BaseException) -> None:
        """Note the kind of error that ended an attempt; its text may hold values of the image's header."""
        begun = read_entry(attempt, Attempt)
        if begun:
            _write(attempt, begun.model_copy(update={"error": type(error).__name__}))

    def fail(self, reason: str, *, crashed: bool = False) -> None:
        """Note that the series has no result; attempts are kept in the note."""
        attempts = self.attempts()
        _write(self._failure, Failure(id=self.id, reason=reason, crashed=crashed, attempts=attempts, time=now()))
        for path in self._state.glob(f"attempts/{self.id}-*.json"):
            path.unlink(missing_ok=True)

    def publish(self, folder: Path, record: SeriesRecord) -> None:
        """Copy a finished result beside its place, and rename it into place; an earlier one stays.

        What processes that asked for something else, such as another device, began beside it is removed.

        Raises
        ------
        OSError
            If it cannot be copied.
        """
        for begun in folder.iterdir():
            if begun.is_dir() and begun.name != record.folder:
                shutil.rmtree(begun)
        write_whole(folder / RECORD, record.model_dump_json(indent=2) + "\n")
        self._place(folder, self.result)
        self._failure.unlink(missing_ok=True)
        shutil.rmtree(self.unfinished, ignore_errors=True)

    def keep(self, folder: Path) -> None:
        """Copy what was done of a series to where another machine finds it."""
        shutil.rmtree(self.unfinished, ignore_errors=True)
        self._place(folder, self.unfinished)

    def _place(self, folder: Path, target: Path) -> None:
        arriving = self._state / "arriving"
        arriving.mkdir(parents=True, exist_ok=True)
        for left in arriving.glob(f"{self.id}-*"):  # by a process that died; ours is the only one that has the lock
            shutil.rmtree(left, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = arriving / f"{self.id}-{secrets.token_hex(4)}"
        try:
            shutil.copytree(folder, partial)
            partial.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was first
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def read_entry(path: Path, model: type[Model]) -> Model | None:
    """Read a file of the state; None if there is none, or none of this kind."""
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _write(path: Path, entry: BaseModel) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, entry.model_dump_json(indent=2) + "\n")
