"""Find the CT series in a folder tree, by what the files say and not by how they are named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, MediaStorageDirectoryStorage

from ctdenoise.errors import InputError
from ctdenoise.io.dicom.enhanced import ENHANCED_CT, is_enhanced
from ctdenoise.io.dicom.read import NotDicomError, read_dataset

_HEADER_TAGS = (
    "AcquisitionNumber",
    "Columns",
    "FrameOfReferenceUID",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "ImageType",
    "InstanceNumber",
    "Modality",
    "NumberOfFrames",
    "PixelData",
    "RecognitionCode",
    "Rows",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesDescription",
    "SeriesInstanceUID",
    "SeriesNumber",
    "StudyInstanceUID",
)


@dataclass(frozen=True)
class SliceFile:
    """One instance of a series.

    Attributes
    ----------
    path
        The file.
    uid
        SOPInstanceUID.
    position
        Millimetres along the slice normal; None if the file has no position.
    order
        Where it stands in its series: position, then acquisition and instance number, then path.
    frames, enhanced
        How many frames it has, and whether it is enhanced CT; classic CT has one.
    """

    path: Path
    uid: str
    position: float | None
    order: tuple[float, int, int, str]
    frames: int = 1
    enhanced: bool = False


@dataclass(frozen=True)
class Series:
    """A CT series: its slices in order along the normal.

    Attributes
    ----------
    uid, study_uid
        SeriesInstanceUID and StudyInstanceUID.
    number, description
        SeriesNumber and SeriesDescription; None and "" where absent.
    rows, columns
        Matrix of the first slice.
    slices
        At least one.
    """

    uid: str
    study_uid: str
    number: int | None
    description: str
    rows: int
    columns: int
    slices: tuple[SliceFile, ...]


@dataclass(frozen=True)
class Skipped:
    """A file that will not be denoised, and why; `failed` if it looks as if it should have been."""

    path: Path
    reason: str
    failed: bool = False


@dataclass(frozen=True)
class Discovery:
    """What a folder tree holds."""

    series: tuple[Series, ...]
    skipped: tuple[Skipped, ...]


@dataclass
class _Gathering:
    first: Dataset
    slices: list[SliceFile] = field(default_factory=list)


def discover(root: Path) -> Discovery:
    """Find CT series in a file or a folder tree.

    Parameters
    ----------
    root
        A DICOM file, or a folder; file names do not matter, symbolic links to folders are not followed.

    Returns
    -------
    Discovery
        Series in order of SeriesNumber, and every other file with the reason why it is left out.

    Raises
    ------
    InputError
        If `root` does not exist or is an empty folder.
    """
    root = input_tree(root)
    if not root.exists():
        raise InputError("expected a DICOM file or a folder with some, found nothing there", path=root)
    gatherings: dict[str, _Gathering] = {}
    skipped: list[Skipped] = []
    seen: dict[str, Path] = {}
    empty = True
    for path in _files(root):
        empty = False
        try:
            header = _read_header(path)
            slice_file = _slice_file(path, header)
        except _NotASliceError as reason:
            skipped.append(Skipped(path, str(reason)))
            continue
        except InputError as error:
            skipped.append(Skipped(path, error.reason, failed=True))
            continue
        except Exception as error:  # damaged elements raise many kinds; their values may be a patient's, so not told
            skipped.append(Skipped(path, f"damaged DICOM header ({type(error).__name__})", failed=True))
            continue
        uid = str(header.SOPInstanceUID)
        if uid in seen:
            skipped.append(Skipped(path, f"same SOPInstanceUID as {_shown(seen[uid], root)}"))
            continue
        seen[uid] = path
        gathering = gatherings.setdefault(str(header.SeriesInstanceUID), _Gathering(header))
        gathering.slices.append(slice_file)
    if empty:
        raise InputError("expected DICOM files, found an empty folder", path=root)
    found = [_series(gathering) for gathering in gatherings.values()]
    found.sort(key=lambda s: (s.study_uid, s.number is None, s.number or 0, s.uid))
    return Discovery(tuple(found), tuple(skipped))


def input_tree(source: Path) -> Path:
    """Return the folder that a DICOMDIR stands for, its files being beside and below it (PS3.10 section 8.6)."""
    return source.parent if source.name.upper() == "DICOMDIR" and source.is_file() else source


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for folder, subfolders, names in os.walk(root):
        subfolders.sort()
        for name in sorted(names):
            yield Path(folder, name)


def _shown(path: Path, root: Path) -> str:
    return path.name if path == root else str(path.relative_to(root))


class _NotASliceError(Exception):
    """The file is none of our business."""


def _read_header(path: Path) -> Dataset:
    """Read what is needed to sort a file into a series.

    Raises
    ------
    _NotASliceError
        If the file is not a slice of a CT series, and nothing is wrong with that.
    InputError
        If it looks like one and cannot be used.
    """
    try:
        header = read_dataset(path, defer_size=1024, specific_tags=list(_HEADER_TAGS))
    except NotDicomError as what:
        raise _NotASliceError(str(what) or "not a DICOM file") from None
    sop_class = header.get("SOPClassUID", header.file_meta.get("MediaStorageSOPClassUID"))
    if not sop_class:
        raise InputError("expected a value, found none; is the file cut off?", path=path, tag="SOPClassUID (0008,0016)")
    if sop_class == MediaStorageDirectoryStorage:
        raise _NotASliceError("a DICOMDIR, which holds no image itself")
    if sop_class != CTImageStorage and sop_class not in ENHANCED_CT:
        raise _NotASliceError(f"not a CT image but {sop_class.name}")
    if "LOCALIZER" in (header.get("ImageType") or ()):
        raise _NotASliceError("a localizer, not a slice of the series")
    if "PixelData" not in header:
        raise InputError(
            "a CT image without pixel data", path=path, tag="PixelData (7FE0,0010)", hint="is the file cut off?"
        )
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "Rows", "Columns"):
        if header.get(keyword) in (None, ""):
            raise InputError("expected a value, found none", path=path, tag=f"{keyword} {Tag(keyword)}")
    if sop_class == CTImageStorage and int(header.get("NumberOfFrames") or 1) != 1:
        raise InputError(
            f"expected one frame, found {header.NumberOfFrames}", path=path, tag="NumberOfFrames (0028,0008)"
        )
    return header


def _slice_file(path: Path, header: Dataset) -> SliceFile:
    position = _position(header)
    order = (
        np.inf if position is None else position,
        int(header.get("AcquisitionNumber") or 0),
        int(header.get("InstanceNumber") or 0),
        str(path),
    )
    frames, enhanced = int(header.get("NumberOfFrames") or 1), is_enhanced(header)
    return SliceFile(path, str(header.SOPInstanceUID), position, order, frames, enhanced)


def _position(header: Dataset) -> float | None:
    """Distance along the slice normal, in mm (PS3.3 C.7.6.2.1.1)."""
    orientation, origin = header.get("ImageOrientationPatient"), header.get("ImagePositionPatient")
    if orientation is None or origin is None or len(orientation) != 6 or len(origin) != 3:
        return None
    row, column = np.array(orientation, float).reshape(2, 3)
    return float(np.cross(row, column) @ np.array(origin, float))


def _series(gathering: _Gathering) -> Series:
    first = gathering.first
    return Series(
        uid=str(first.SeriesInstanceUID),
        study_uid=str(first.StudyInstanceUID),
        number=first.get("SeriesNumber"),
        description=str(first.get("SeriesDescription") or ""),
        rows=int(first.Rows),
        columns=int(first.Columns),
        slices=tuple(sorted(gathering.slices, key=lambda s: s.order)),
    )
