"""Headers of the files of a cohort: read in parallel, kept in a journal, sorted into series outside of memory."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, astuple, dataclass
from itertools import groupby, islice
from pathlib import Path

from ctdenoise.errors import InputError
from ctdenoise.io.dicom.archive import OpenedInput
from ctdenoise.io.dicom.cautions import finished_here
from ctdenoise.io.dicom.discover import Examined, duplicate, examine

#: Files that a process gets at once.
_CHUNK = 64
#: Chunks that wait for each process.
_AHEAD = 4
_TABLE = """
CREATE TABLE file (
    path TEXT PRIMARY KEY, size INTEGER, modified INTEGER, series TEXT, instance TEXT, frames INTEGER, rows INTEGER,
    columns INTEGER, reason TEXT, failed INTEGER, root TEXT, number INTEGER
);
CREATE INDEX instances ON file (instance, number);
"""


@dataclass(frozen=True)
class ScannedFile:
    """What the header of a file says.

    Attributes
    ----------
    path
        Absolute.
    size, modified
        Bytes, and nanoseconds since 1970: a file for which both are as before is not read again.
    series, instance
        SeriesInstanceUID and SOPInstanceUID; empty if it is no file of a series.
    frames, rows, columns
        0 if it is no file of a series.
    reason, failed
        Why it is none, and whether it looks like an image that should be; no reason for files not worth a line.
    """

    path: str
    size: int
    modified: int
    series: str = ""
    instance: str = ""
    frames: int = 0
    rows: int = 0
    columns: int = 0
    reason: str = ""
    failed: bool = False


@dataclass(frozen=True)
class SkippedFiles:
    """Files that are no part of a series, for one reason: how many, and the path of the first."""

    reason: str
    failed: bool
    count: int
    first: Path


def scan_file(path: Path) -> ScannedFile:
    """Read the header of a file; never raises, so that a bad file costs no other."""
    try:
        status = path.stat()
    except OSError as error:
        return ScannedFile(str(path), 0, 0, reason=f"cannot be read: {error.strerror or error}", failed=True)
    found = examine(path, path.name)
    if isinstance(found, Examined):
        header, file = found.header, found.file
        if result := finished_here(found.warnings):
            return ScannedFile(str(path), status.st_size, status.st_mtime_ns, reason=result)
        described = (found.series_uid, file.uid, file.frames, int(header.Rows), int(header.Columns))
        return ScannedFile(str(path), status.st_size, status.st_mtime_ns, *described)
    if found is None:
        return ScannedFile(str(path), status.st_size, status.st_mtime_ns)
    return ScannedFile(str(path), status.st_size, status.st_mtime_ns, reason=found.reason, failed=found.failed)


def _scan_chunk(chunk: list[tuple[Path, tuple[int, int] | None]]) -> list[ScannedFile]:
    """Read headers but for those of files whose size and time are known and still the same."""
    return [scan_file(path) for path, known in chunk if known is None or _status(path) != known]


def _status(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


class Scan:
    """The files of a cohort.

    Parameters
    ----------
    journal
        Gets a line for each file that was read, so that a scan that was cut off goes on. One process writes it.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        # A private database without a name: SQLite keeps it on the local disk once it is large.
        self._files = sqlite3.connect("", isolation_level=None)
        self._files.executescript(_TABLE)
        self._number = 0
        for file in _read_journal(journal):
            self._insert(file)

    def add(
        self,
        root: Path,
        *,
        processes: int,
        initialise: Callable[[], None] | None = None,
        advance: Callable[[int], None] = lambda files: None,
    ) -> None:
        """Scan an input.

        Parameters
        ----------
        root
            A folder or a file, absolute.
        processes
            How many read headers; with 1, this one.
        initialise
            Called once in each new process.
        advance
            Called with a number of files once these are done.
        """
        with self._journal.open("a", encoding="utf-8") as journal:
            for paths, files in self._scanned(root, processes, initialise):
                for file in files:
                    self._insert(file)
                    journal.write(json.dumps(asdict(file)) + "\n")
                self._number_files(paths, root)
                advance(len(paths))

    def _scanned(
        self, root: Path, processes: int, initialise: Callable[[], None] | None
    ) -> Iterator[tuple[list[Path], list[ScannedFile]]]:
        """Yield the files of an input by chunks, with what was read anew of them."""
        walk = self._walk(root)
        chunks = iter(lambda: [(path, self._known(path)) for path in islice(walk, _CHUNK)], [])
        if processes == 1:
            for chunk in chunks:
                yield [path for path, _ in chunk], _scan_chunk(chunk)
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=context, initializer=initialise) as pool:
            running: deque[tuple[list[Path], Future[list[ScannedFile]]]] = deque()
            while True:
                for chunk in islice(chunks, _AHEAD * processes - len(running)):
                    running.append(([path for path, _ in chunk], pool.submit(_scan_chunk, chunk)))
                if not running:
                    return
                paths, future = running.popleft()
                yield paths, future.result()

    def _walk(self, root: Path) -> Iterator[Path]:
        for path in OpenedInput(root).files():
            if isinstance(path, InputError):
                folder = path.path or root
                self._insert(ScannedFile(str(folder), 0, 0, reason=path.reason, failed=True))
                self._number_files([folder], root)
            else:
                yield path

    def _insert(self, file: ScannedFile) -> None:
        marks = ",".join("?" * 10)
        self._files.execute(f"INSERT OR REPLACE INTO file VALUES ({marks}, NULL, NULL)", astuple(file))

    def _known(self, path: Path) -> tuple[int, int] | None:
        row: tuple[int, int] | None = self._files.execute(
            "SELECT size, modified FROM file WHERE path = ?", (str(path),)
        ).fetchone()
        return row

    def _number_files(self, chunk: Iterable[Path], root: Path) -> None:
        """Note that files are part of the input, in which order; those of an earlier scan alone are not."""
        for path in chunk:
            self._number += 1
            self._files.execute(
                "UPDATE file SET root = ?, number = ? WHERE path = ? AND number IS NULL",
                (str(root), self._number, str(path)),
            )

    def series(self) -> Iterator[list[tuple[str, ScannedFile]]]:
        """Yield the files of each series with their input, in order of UIDs; of files with one UID, the first found."""
        rows = self._files.execute(
            """SELECT root, path, size, modified, series, instance, frames, rows, columns FROM file AS one
            WHERE series != '' AND number IS NOT NULL AND number =
                (SELECT min(number) FROM file AS other WHERE other.instance = one.instance)
            ORDER BY series, instance"""
        )
        for _, group in groupby(rows, key=lambda row: row[4]):
            yield [(root, ScannedFile(*values)) for root, *values in group]

    def skipped(self) -> list[SkippedFiles]:
        """Return the files that are no part of a series, by reason."""
        rows = self._files.execute(
            """SELECT reason, failed, count(*), min(path) FROM file WHERE reason != '' AND number IS NOT NULL
            GROUP BY reason, failed ORDER BY reason"""
        )
        found = [SkippedFiles(reason, bool(failed), count, Path(first)) for reason, failed, count, first in rows]
        duplicates: dict[tuple[str, bool], list[Path]] = {}
        for path, first in self._files.execute(
            """SELECT one.path, first.path FROM file AS one JOIN file AS first ON first.instance = one.instance
            WHERE one.series != '' AND one.number > first.number AND first.number =
                (SELECT min(number) FROM file AS other WHERE other.instance = one.instance)
            ORDER BY one.path"""
        ):
            skipped = duplicate(Path(path), path, Path(first))
            duplicates.setdefault((skipped.reason, skipped.failed), []).append(Path(path))
        found += [SkippedFiles(*why, len(paths), paths[0]) for why, paths in duplicates.items()]
        return found

    def finish(self) -> None:
        """Remove the journal."""
        self._files.close()
        self._journal.unlink(missing_ok=True)


def _read_journal(path: Path) -> Iterator[ScannedFile]:
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                yield ScannedFile(**json.loads(line))
            except (ValueError, TypeError):  # cut off while it was written
                continue
