"""A lock for each output, so that two processes never write one series at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ctdenoise.errors import Help, InputError
from ctdenoise.inference.results import Progress


@contextmanager
def output_lock(target: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock of an output folder or file; wait for another process that has it, and say so.

    The operating system releases the lock of a process that dies. On Linux it also holds between machines that share a
    folder over NFS; where a file system has no such locks, a marker file with the owner's host and process is used.

    Parameters
    ----------
    target
        The output; the lock is a hidden file beside it, which is removed at the end.
    progress
        Told when there is something to wait for.

    Raises
    ------
    InputError
        If the lock file cannot be made.
    """
    path = target.with_name(f".{target.name}.lock")
    new_folders = [folder for folder in target.parents if not folder.exists()]  # the innermost first
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.message(f"{target}: another process is writing it; waiting until it has finished")
            lock.acquire()
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror or error}", path=error.filename or target, see=Help.CANNOT_WRITE
        ) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: whoever waits notices and makes a new one
        lock.release()
        for folder in new_folders:  # of a run that wrote nothing
            with suppress(OSError):
                folder.rmdir()
