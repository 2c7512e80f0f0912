"""Inputs: a file, a folder tree with its symbolic links, or a zip archive."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ctdenoise.errors import InputError
from ctdenoise.files import TEMPORARY

#: What deflate cannot reach on images; more is an archive made to exhaust the disk.
_MOST_COMPRESSED = 200


@dataclass(frozen=True)
class OpenedInput:
    """An input whose files can be read.

    Attributes
    ----------
    root
        The file or folder; of an archive, the temporary folder of its files.
    names
        What the files of an archive are called for people, as in ``study.zip!/DICOM/IMG001``; empty for other inputs.
    """

    root: Path
    names: Mapping[Path, str] = field(default_factory=dict)

    def name(self, path: Path) -> str:
        """Return what a file is called in messages and manifests: its entry in the archive, or its path in the tree."""
        if path in self.names:
            return self.names[path]
        if path != self.root and path.is_relative_to(self.root):
            return path.relative_to(self.root).as_posix()
        return path.name

    def files(self) -> Iterator[Path | InputError]:
        """Yield each file once, in order of names, and an error for each folder that cannot be read.

        Symbolic links are followed; files and folders that are reached by several ways come once. Temporary files of
        :func:`~ctdenoise.files.atomic_path` are left out.
        """
        if self.root.is_dir():
            yield from _walk(self.root, set())
        else:
            yield self.root


def _walk(folder: Path, seen: set[str]) -> Iterator[Path | InputError]:
    real_folder = os.path.realpath(folder)
    if real_folder in seen:
        return
    seen.add(real_folder)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield InputError(f"the folder cannot be read: {error.strerror or error}", path=folder)
        return
    folders = [entry for entry in entries if _is_folder(entry)]
    for entry in entries:
        if entry in folders or entry.name.startswith(TEMPORARY):
            continue
        real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(real_folder, entry.name)  # noqa: PTH118
        if real not in seen:
            seen.add(real)
            yield Path(entry.path)
    for entry in folders:
        yield from _walk(Path(entry.path), seen)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


@contextmanager
def opened(source: Path) -> Iterator[OpenedInput]:
    """Open an input: a zip archive is unpacked into a temporary folder for as long as the context lasts.

    Files are unpacked under numbers, so no name in the archive decides where anything goes.

    Raises
    ------
    InputError
        If the archive is damaged, encrypted, or would not fit.
    """
    if not source.is_file() or not zipfile.is_zipfile(source):
        yield OpenedInput(source)
        return
    with tempfile.TemporaryDirectory(prefix="ctdenoise-") as folder:
        names: dict[Path, str] = {}
        try:
            with zipfile.ZipFile(source) as archive:
                files = [entry for entry in archive.infolist() if not entry.is_dir()]
                _check(source, files, Path(folder))
                for number, entry in enumerate(files):
                    path = Path(folder, f"{number:06d}")
                    names[path] = f"{source.name}!/{_printable(entry.filename)}"
                    with archive.open(entry) as packed, path.open("wb") as unpacked:
                        shutil.copyfileobj(packed, unpacked)
        except (zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as error:
            # Not the error's text, which names entries: these may be a patient's.
            found = "an encrypted one" if "encrypted" in str(error) else f"a damaged one ({type(error).__name__})"
            raise InputError(
                f"expected a zip archive that can be unpacked, found {found}",
                path=source,
                hint="unpack it with another program and give the folder",
            ) from error
        yield OpenedInput(Path(folder), names)


def _printable(name: str) -> str:
    """Return a name without characters that control a terminal or break a line."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)


def _check(source: Path, files: list[zipfile.ZipInfo], folder: Path) -> None:
    unpacked, packed = sum(f.file_size for f in files), sum(f.compress_size for f in files)
    free = shutil.disk_usage(folder).free
    if unpacked > _MOST_COMPRESSED * max(packed, 2**16) or unpacked > 0.9 * free:
        raise InputError(
            f"expected an archive that unpacks into the {free // 2**20} MiB free, found {unpacked // 2**20} MiB "
            f"from {packed // 2**20}",
            path=source,
            hint="unpack it yourself if it is what it should be",
        )
