"""The spool of a node: a folder for each series, in the folder of its state; a change of state is a rename.

::

    incoming/KEY/   images come in
    ready/KEY/      complete, waits for the worker
    working/KEY/    the worker denoises it
    outgoing/KEY/   waits to be sent, or is sent
    sent/KEY/       done; kept for some time, so that late slices continue it
    failed/KEY/     series.json says why
    partial/        files that are being received

In each KEY there are `in` (received images), `out` (results), ``series.json`` and ``delivery-NAME.json``. KEY and file
names are hashes of UIDs. Whatever a process that died left is continued or begun anew: see :meth:`Spool.recover`.
"""

from __future__ import annotations

import filecmp
import hashlib
import os
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ctdenoise.errors import InputError
from ctdenoise.service.entry import Entry, State, Stored
from ctdenoise.service.record import SeriesRecord


class Spool:
    """The spool of one node; may be used from several threads.

    Parameters
    ----------
    folder
        Made if it does not exist.
    clock
        Seconds since 1970.

    Raises
    ------
    OSError
        If it cannot be made or written.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.partial = folder / "partial"
        self._clock = clock
        #: Held while a series changes its state.
        self.lock = threading.RLock()
        self._held: Counter[str] = Counter()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in (*State, "partial"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        self._process = FileLock(folder / ".lock")

    def acquire(self) -> None:
        """Make this the only process that serves the spool.

        Raises
        ------
        InputError
            If another one does.
        """
        try:
            self._process.acquire(timeout=0)
        except Timeout:
            raise InputError("expected a spool that no other node uses, found one in use", path=self.folder) from None

    def release(self) -> None:
        """Let another process serve the spool."""
        self._process.release()

    def recover(self) -> list[Entry]:
        """Bring what a process that died left into order, and return the series that it had in work."""
        for left in self.partial.iterdir():
            _remove(left)
        return [self.move(entry, State.READY) for entry in self.entries(State.WORKING)]

    def entries(self, state: State) -> list[Entry]:
        """Return the series in a state."""
        return [Entry(path) for path in sorted((self.folder / state).iterdir()) if path.is_dir()]

    def find(self, key: str) -> Entry | None:
        """Return a series that is complete, whatever became of it; None if there is none."""
        for state in State:
            folder = self.folder / state / key
            if state != State.INCOMING and folder.is_dir():
                return Entry(folder)
        return None

    def free_bytes(self) -> int:
        """Return the space on the disk."""
        return shutil.disk_usage(self.folder).free

    def add(self, file: Path, key: str, instance: str, calling: str) -> Stored:
        """Add a received image, which is on the disk when this returns.

        Parameters
        ----------
        file
            In :attr:`partial`; gone afterwards.
        key
            Of its series: see :func:`series_key`.
        instance
            Its UID.
        calling
            AE title of who sent it.

        Returns
        -------
        Stored
            Whether it was new, the same as one that is there, or another image with the UID of
            one that is there; the latter is not added.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        name = f"{_hash(instance)}.dcm"
        _sync(file)
        with self.lock:
            for state in State:
                known = self.folder / state / key / "in" / name
                if known.exists():
                    same = filecmp.cmp(known, file, shallow=False)
                    file.unlink()
                    return Stored.SAME if same else Stored.OTHER
            entry = Entry(self.folder / State.INCOMING / key)
            if not entry.images.is_dir():
                entry.folder.mkdir(exist_ok=True)
                entry.write(SeriesRecord(calling_ae_title=calling, received=self._clock()))
                entry.images.mkdir()
                for folder in (entry.folder, entry.folder.parent):
                    _sync(folder)
            file.rename(entry.images / name)
            folder_descriptor = os.open(entry.images, os.O_RDONLY)
        try:
            os.fsync(folder_descriptor)
        finally:
            os.close(folder_descriptor)
        return Stored.NEW

    def complete(self, incoming: Entry) -> Entry | None:
        """Make a series ready whose images are all there, together with what came of it before.

        Returns
        -------
        Entry or None
            None while the worker or a sender is at what came before.
        """
        with self.lock:
            before = self.find(incoming.key)
            if before is None:
                return self.move(incoming, State.READY)
            if before.folder.parent.name == State.WORKING or self._held[before.key]:
                return None
            ready = self.move(before, State.READY)  # first, so that a crash leaves nothing that seems done
            ready.images.mkdir(exist_ok=True)
            for file in incoming.images.iterdir() if incoming.images.is_dir() else ():
                file.rename(ready.images / file.name)
            record = ready.record()
            ready.write(record.model_copy(update={"crashes": 0, "problems": [], "left_alone": ""}))
            _remove(incoming.folder)
            return ready

    def move(self, entry: Entry, state: State) -> Entry:
        """Change the state of a series."""
        with self.lock:
            target = self.folder / state / entry.key
            if target != entry.folder:
                entry.folder.rename(target)
            return Entry(target)

    @contextmanager
    def held(self, entry: Entry) -> Iterator[bool]:
        """Keep a series in its state, and yield whether it is still there."""
        with self.lock:
            there = entry.folder.is_dir()
            self._held[entry.key] += there
        try:
            yield there
        finally:
            with self.lock:
                self._held[entry.key] -= there
                self._held = +self._held

    def is_held(self, entry: Entry) -> bool:
        """Whether somebody keeps a series in its state."""
        with self.lock:
            return self._held[entry.key] > 0

    def remove(self, entry: Entry) -> None:
        """Remove a series: at once from its state, then from the disk."""
        grave = self.partial / f"{entry.key}-{secrets.token_hex(4)}"
        with self.lock:
            entry.folder.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    def retry_failed(self) -> int:
        """Have all series that failed processed and sent again, by the node that runs or is started next.

        Returns
        -------
        int
            How many there are.
        """
        entries = self.entries(State.FAILED)
        for entry in entries:
            record = entry.record()
            record.crashes, record.problems = 0, []
            entry.write(record)
            self.move(entry, State.READY)
        return len(entries)

    def sweep(self, older_than: float) -> None:
        """Remove what associations that were cut off left, older than so many seconds."""
        now = time.time()
        for left in self.partial.iterdir():
            try:
                if now - left.stat().st_mtime >= older_than:
                    _remove(left)
            except FileNotFoundError:
                continue


def series_key(study: str, series: str) -> str:
    """Return the name of a series' folder: a hash of Study and Series Instance UID."""
    return _hash(f"{study}/{series}")[:16]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
