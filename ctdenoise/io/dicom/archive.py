"""Zip archives of DICOM files, unpacked where nothing of them stays."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ctdenoise.errors import InputError

#: What deflate cannot reach on images; more is an archive made to exhaust the disk.
_MOST_COMPRESSED = 200


@contextmanager
def opened(source: Path) -> Iterator[Path]:
    """Give the folder of a zip archive's files while it is needed, and any other path as it is.

    Files are unpacked under numbers, so no name in the archive decides where anything goes.

    Raises
    ------
    InputError
        If the archive is damaged, encrypted, or would not fit.
    """
    if not source.is_file() or not zipfile.is_zipfile(source):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="ctdenoise-") as folder:
        try:
            with zipfile.ZipFile(source) as archive:
                files = [entry for entry in archive.infolist() if not entry.is_dir()]
                _check(source, files, Path(folder))
                for number, entry in enumerate(files):
                    with archive.open(entry) as packed, Path(folder, f"{number:06d}").open("wb") as unpacked:
                        shutil.copyfileobj(packed, unpacked)
        except (zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as error:
            raise InputError(f"expected a zip archive, found: {error}", path=source) from error
        yield Path(folder)


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
