"""Volumes of HU in files: NIfTI through nibabel, NRRD and MetaImage through SimpleITK."""

from __future__ import annotations

from pathlib import Path

from ctdenoise.errors import Help, InputError
from ctdenoise.io.folders import walk_files
from ctdenoise.io.volumes.itk import SUFFIXES as ITK_SUFFIXES
from ctdenoise.io.volumes.itk import read_itk
from ctdenoise.io.volumes.nifti import SUFFIXES as NIFTI_SUFFIXES
from ctdenoise.io.volumes.nifti import pair_paths, read_nifti, write_nifti_map
from ctdenoise.io.volumes.volume import Volume

__all__ = ["SUFFIXES", "Volume", "find_volumes", "is_volume", "read_volume", "write_nifti_map"]

SUFFIXES = NIFTI_SUFFIXES + ITK_SUFFIXES


def is_volume(path: Path) -> bool:
    """Whether the name is that of a volume.

    ``.img`` is one only with the ``.hdr`` of a NIfTI pair beside it, because DICOM files have that suffix too.
    """
    name = path.name.lower()
    return name.endswith(SUFFIXES) and (not name.endswith(".img") or pair_paths(path)[0].is_file())


def find_volumes(folder: Path) -> list[Path]:
    """Return the volumes in a folder and the folders below it, sorted by path.

    A volume in two files is listed once, by its header (``.hdr``, ``.mhd``, ``.nhdr``). Symbolic links are followed.
    Files and folders whose name begins with a dot are left out.
    """
    return sorted(file for file in walk_files(folder) if is_volume(file) and file.suffix.lower() != ".img")


def read_volume(path: Path) -> Volume:
    """Read a volume of HU, in its own file format and orientation.

    Raises
    ------
    InputError
        If it cannot be read, has no single number for each voxel, more than four dimensions, or no voxel that could be
        HU.
    """
    if not path.is_file():
        raise InputError("expected a volume, found nothing there", path=path, see=Help.NOTHING_THERE)
    volume = read_nifti(path) if path.name.lower().endswith(NIFTI_SUFFIXES) else read_itk(path)
    if volume.padding.all():
        raise InputError("expected HU, found no finite voxel above −1400", path=path)
    return volume
