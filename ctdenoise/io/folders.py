"""Folders: the files in one and below it, and whether an output is in one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ctdenoise.errors import InputError


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and below it, folder by folder.

    Symbolic links are followed; a folder that several of them lead to is visited once. Files and folders whose name
    begins with a dot are left out.
    """
    visited: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        if os.path.realpath(root) in visited:
            folders.clear()
            continue
        visited.add(os.path.realpath(root))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in sorted(names) if not name.startswith("."))


def require_outside(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that is one of the input folders or inside one.

    Raises
    ------
    InputError
        If it is.
    """
    for folder in inputs:
        if folder.is_dir() and output.resolve().is_relative_to(folder.resolve()):
            raise InputError("the output must not be inside the input", path=output, hint="choose another folder")
