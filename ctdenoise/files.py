"""Atomic writing: a file is complete or absent."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: How temporary names begin.
TEMPORARY = ".partial-"
#: Characters of the final name that a temporary name repeats: its suffix, within the 255 bytes of file systems.
_REPEATED = 48


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, and rename it to `path` when the block succeeds.

    The temporary file exists and is empty; the block may write into it or replace it. Its name begins with
    :data:`TEMPORARY`, ends as the name of `path` does, so that libraries recognise the format, and no other process has
    the same. The renaming is atomic on POSIX systems and Windows; there is no ``fsync``, so a power cut may still lose
    the content. If the block raises, the temporary file is removed and `path` is left as it was.

    The file gets the permissions that the umask gives, also where a library (safetensors) writes files that only their
    owner may read.

    Parameters
    ----------
    path
        Final name; its folder must exist. A file of that name is replaced.

    Raises
    ------
    OSError
        If the temporary file cannot be made or renamed.
    """
    partial = path.with_name(f"{TEMPORARY}{secrets.token_hex(6)}-{path.name[-_REPEATED:]}")
    descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        os.close(descriptor)
        yield partial
        if stat.S_IMODE(partial.stat().st_mode) != mode:
            partial.chmod(mode)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file atomically; text as UTF-8.

    Raises
    ------
    OSError
        If it cannot be written; `path` is then left as it was.
    """
    with atomic_path(path) as partial:
        partial.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content as hexadecimal digits.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
