"""Inputs of an evaluation: slices of a DICOM series, a volume, an array or a folder of images, read one by one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import Series, discover, read_slice
from ctdenoise.io.dicom.plane import frame_plane
from ctdenoise.io.dicom.read import read_dataset
from ctdenoise.io.images import is_image, read_image
from ctdenoise.io.neighbours import UNKNOWN, Plane
from ctdenoise.io.volumes import Volume, is_volume, read_volume

_ONE_SERIES = "give the folder of one series; ctdenoise inspect lists the series in a folder"


@dataclass(frozen=True)
class Slice:
    """One slice, not yet read.

    Attributes
    ----------
    label
        Number in the stack, from 1, and position, if known; the file name of a photograph.
    path, index
        The file, and the index of the slice in it.
    position
        Millimetres along the slice normal, or None.
    plane
        Where it is, as neighbours are found by: of an enhanced object the frame's.
    uid, uids
        Its SOPInstanceUID, and with it those in its SourceImageSequence; with the frame number for enhanced CT.
    stem
        File name without suffix; photographs only.
    """

    label: str
    path: Path
    index: int = 0
    position: float | None = None
    plane: Plane = UNKNOWN
    uid: str = ""
    uids: frozenset[str] = frozenset()
    stem: str | None = None


@dataclass(frozen=True)
class Stack:
    """Slices of one series, volume, array or folder of images.

    Attributes
    ----------
    path
        The file or folder.
    kind
        ``"dicom"``, ``"volume"``, ``"array"`` or ``"image"``.
    slices
        In anatomical order, or by name for photographs.
    pixel_spacing_mm
        Pixel spacing, or None where it is unknown.
    normal
        Normal vector of the slices, or None where it is unknown.
    number
        SeriesNumber, or None where there is none.
    """

    path: Path
    kind: str
    slices: tuple[Slice, ...]
    pixel_spacing_mm: float | None = None
    normal: tuple[float, ...] | None = None
    number: int | None = None

    @property
    def is_photograph(self) -> bool:
        """Whether values are in [0, 1] rather than HU."""
        return self.kind == "image"

    def read(self, index: int) -> NDArray[np.float32]:
        """Read a slice: ``[H, W]`` HU, or ``[H, W, C]`` in [0, 1].

        Raises
        ------
        InputError
            If it cannot be read.
        """
        one = self.slices[index]
        if self.kind == "dicom":
            hu = read_slice(one.path).hu
            frame: NDArray[np.float32] = hu[one.index] if hu.ndim == 3 else hu
            return frame
        if self.kind == "image":
            return read_image(one.path).values
        if self.kind == "array":
            return np.asarray(_array(one.path)[one.index], np.float32)
        voxels: NDArray[np.float32] = _volume(one.path).hu[one.index]
        return voxels


def open_stack(path: Path) -> Stack:
    """List the slices of an input of any supported kind.

    Parameters
    ----------
    path
        A DICOM file or folder of one series, a NIfTI, NRRD or MHA volume, an ``.npy`` array ``[H, W]`` or
        ``[D, H, W]`` of HU, an image or a folder of images.

    Raises
    ------
    InputError
        If nothing supported is there, or more than one series.
    """
    stacks = open_stacks(path)
    if len(stacks) > 1:
        raise InputError(
            f"expected one CT series, found {', '.join(f'{one.number} ({len(one.slices)} slices)' for one in stacks)}",
            path=path,
            hint=_ONE_SERIES,
        )
    return stacks[0]


def open_stacks(path: Path) -> list[Stack]:
    """List the slices of every series of an input; other inputs than DICOM are one stack, see :func:`open_stack`.

    Raises
    ------
    InputError
        If nothing supported is there.
    """
    if not path.exists():
        raise InputError("expected images, found no such file or folder", path=path)
    if path.is_file() and is_volume(path):
        return [_volume_stack(path)]
    if path.suffix.lower() == ".npy":
        array = _array(path)
        slices = tuple(Slice(str(i + 1), path, i, plane=Plane(float(i))) for i in range(len(array)))
        return [Stack(path, "array", slices)]
    images = [path] if path.is_file() and is_image(path) else []
    if path.is_dir():
        images = sorted(file for file in path.iterdir() if file.is_file() and is_image(file))
    if images and not (path.is_dir() and _has_dicom(path)):
        return [Stack(path, "image", tuple(Slice(file.stem, file, stem=file.stem) for file in images))]
    series = discover(path).series
    if not series:
        raise InputError("expected one CT series, found none", path=path, hint=_ONE_SERIES)
    return [series_stack(one, path) for one in series]


def _volume_stack(path: Path) -> Stack:
    volume = _volume(path)
    count = len(volume.hu)
    planes = volume.neighbourhood
    if volume.slice_thickness_mm is None or volume.frames > 1:
        slices = tuple(Slice(_label(i, None), path, i, plane=planes[i]) for i in range(count))
        return Stack(path, "volume", slices, volume.pixel_spacing_mm)
    column, row, step, origin = volume.plane_affine[:3].T
    normal = np.cross(column, row) / np.linalg.norm(np.cross(column, row))
    positions = [float(normal @ (origin + step * k)) for k in range(count)]
    slices = tuple(Slice(_label(i, z), path, i, z, planes[i]) for i, z in enumerate(positions))
    return Stack(path, "volume", slices, volume.pixel_spacing_mm, tuple(float(x) for x in normal))


def _volume(path: Path) -> Volume:
    """Read a volume, once for all of its slices."""
    file = path.stat()
    return _cached_volume(path, file.st_mtime_ns, file.st_size)


@lru_cache(maxsize=4)
def _cached_volume(path: Path, modified_ns: int, size: int) -> Volume:
    """Read a volume; it is read again when time or size of the file changed."""
    return read_volume(path)


def source_stack(source: Series | Path, path: Path) -> Stack:
    """Return the stack of what a run processed: a series that was found in `path`, or a file of its own.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    return series_stack(source, path) if isinstance(source, Series) else open_stack(source)


def series_stack(series: Series, path: Path) -> Stack:
    """Return the stack of a series that was found in `path`.

    Raises
    ------
    InputError
        If a header cannot be read.
    """
    slices: list[Slice] = []
    pixel_spacing_mm, normal = None, None
    for number, file in enumerate(series.slices):
        # The places of frames are in functional groups.
        tags = ["SOPInstanceUID", "SourceImageSequence", "PixelSpacing", "ImageOrientationPatient"]
        header = read_dataset(file.path, specific_tags=None if file.enhanced else tags, stop_before_pixels=True)
        if not slices:
            pixel_spacing_mm = float(header.PixelSpacing[0]) if header.get("PixelSpacing") else None
            if header.get("ImageOrientationPatient"):
                row, column = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
                normal = tuple(float(x) for x in np.cross(row, column))
        references = (item.get("ReferencedSOPInstanceUID") for item in header.get("SourceImageSequence") or ())
        sources = [str(uid) for uid in references if uid]
        planes = _frame_planes(header, number, file.frames) if file.enhanced else [file.plane]
        for frame in range(file.frames):
            mark = f"#{frame}" if file.enhanced else ""
            own, *others = (uid + mark for uid in (file.uid, *sources))
            label = _label(len(slices), file.position)
            slices.append(Slice(label, file.path, frame, file.position, planes[frame], own, frozenset((own, *others))))
    return Stack(path, "dicom", tuple(slices), pixel_spacing_mm, normal, series.number)


def _frame_planes(header: Dataset, number: int, frames: int) -> list[Plane]:
    """Return where the frames of an enhanced object are; its number in the series tells those of others apart."""
    planes = [frame_plane(header, frame) for frame in range(frames)]
    return [plane._replace(geometry=(number, *plane.geometry)) for plane in planes]


def _array(path: Path) -> NDArray[np.floating]:
    try:
        array: NDArray[np.floating] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError("expected a NumPy array of numbers, found a file that cannot be read", path=path) from error
    if array.ndim not in (2, 3) or not np.issubdtype(array.dtype, np.number):
        raise InputError(f"expected HU of shape [H, W] or [D, H, W], found {array.shape} {array.dtype}", path=path)
    return array.reshape(-1, *array.shape[-2:])


def _has_dicom(folder: Path) -> bool:
    """Return whether the folder has files, at any depth, whose names may be those of DICOM files."""
    return any(file.is_file() and file.suffix.lower() in ("", ".dcm", ".ima") for file in folder.rglob("*"))


def _label(index: int, position: float | None) -> str:
    return f"{index + 1}" if position is None else f"{index + 1} at {position:.1f} mm"
