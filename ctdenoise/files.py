"""Files that are whole or not there."""

from __future__ import annotations

from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a text file under a temporary name beside `path` and rename it (atomic on POSIX and Windows).

    Raises
    ------
    OSError
        If the disk does not take it.
    """
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
