"""Find the CT series in a folder tree, by what the files say and not by how they are named."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import Dataset

from ctdenoise.errors import Help, InputError
from ctdenoise.files import file_sha256
from ctdenoise.io.dicom.archive import OpenedInput
from ctdenoise.io.dicom.cautions import cautions
from ctdenoise.io.dicom.enhanced import is_enhanced
from ctdenoise.io.dicom.header import NotASliceError, missing_pixel_bytes, read_header
from ctdenoise.io.dicom.plane import acquisition, slice_plane
from ctdenoise.io.dicom.series import Series, Skipped, SliceFile

#: Files of ours beside images, and hidden files of other programs: not worth a line.
_OWN_FILES = ("manifest.json", "report.html")


@dataclass(frozen=True)
class Examined:
    """A file of a series, as its header describes it.

    Attributes
    ----------
    header
        What was read of it.
    file
        The instance.
    number
        SeriesNumber; None where absent.
    warnings
        Why a model may not fit.
    """

    header: Dataset
    file: SliceFile
    number: int | None
    warnings: tuple[str, ...]

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID."""
        return str(self.header.SeriesInstanceUID)


@dataclass(frozen=True)
class Discovery:
    """What a folder tree holds."""

    series: tuple[Series, ...]
    skipped: tuple[Skipped, ...]


@dataclass
class _Gathering:
    first: Dataset
    number: int | None
    slices: list[SliceFile] = field(default_factory=list)
    warnings: dict[str, None] = field(default_factory=dict)
    patients: set[str] = field(default_factory=set)


def discover(source: Path | OpenedInput) -> Discovery:
    """Find CT series in a file or a folder tree.

    Parameters
    ----------
    source
        A DICOM file, a DICOMDIR, a folder, or an input that :func:`~ctdenoise.io.dicom.archive.opened` opened. Names of
        files do not matter. Symbolic links are followed, and each file comes once.

    Returns
    -------
    Discovery
        Series in order of StudyInstanceUID and SeriesNumber, and every other file with the reason why it is left out,
        but for manifests, reports and hidden files.

    Raises
    ------
    InputError
        If `source` does not exist or is an empty folder.
    """
    tree = source if isinstance(source, OpenedInput) else OpenedInput(input_tree(source))
    if not tree.root.exists():
        raise InputError(
            "expected a DICOM file or a folder with some, found nothing there", path=tree.root, see=Help.NOTHING_THERE
        )
    gatherings: dict[str, _Gathering] = {}
    skipped: list[Skipped] = []
    seen: dict[str, Path] = {}
    files = tree.files()
    first = next(files, None)
    if first is None:
        raise InputError("expected DICOM files, found an empty folder", path=tree.root, see=Help.NOTHING_THERE)
    for path in itertools.chain([first], files):
        if isinstance(path, InputError):
            folder = path.path or tree.root
            skipped.append(Skipped(folder, path.reason, failed=True, name=tree.name(folder)))
            continue
        why_not = _gather(path, tree.name(path), gatherings, seen)
        if why_not:
            skipped.append(why_not)
    found = [_series(gathering) for gathering in gatherings.values()]
    found.sort(key=lambda s: (s.study_uid, s.number is None, s.number or 0, s.uid))
    return Discovery(tuple(found), tuple(skipped))


def _gather(path: Path, name: str, gatherings: dict[str, _Gathering], seen: dict[str, Path]) -> Skipped | None:
    """Add a file to its series, or return why it is skipped; None for a file of ours, too."""
    found = examine(path, name)
    if not isinstance(found, Examined):
        return found
    if found.file.uid in seen:
        return duplicate(path, name, seen[found.file.uid])
    seen[found.file.uid] = path
    gathering = gatherings.setdefault(found.series_uid, _Gathering(found.header, found.number))
    gathering.slices.append(found.file)
    gathering.patients.add(_patient(found.header))
    gathering.warnings.update(dict.fromkeys(found.warnings))
    return None


def examine(path: Path, name: str) -> Examined | Skipped | None:
    """Read the header of a file and say what it is.

    Parameters
    ----------
    path, name
        The file, and what it is called in messages.

    Returns
    -------
    Examined, Skipped or None
        A file of a series; why it is none; None for a file of ours or a hidden one, which is not worth a line.
    """
    try:
        header = read_header(path)
        slice_file, warnings = _slice_file(path, name, header), cautions(header)
        number = None if header.get("SeriesNumber") is None else int(header.SeriesNumber)
    except NotASliceError as reason:
        is_own = path.name.startswith(".") or path.name.endswith(_OWN_FILES)
        return None if is_own and not reason.is_dicom else Skipped(path, str(reason), name=name)
    except InputError as error:
        return Skipped(path, error.reason, failed=True, name=name)
    except Exception as error:  # damaged elements raise many kinds, with values in their text
        return Skipped(path, f"damaged DICOM header ({type(error).__name__})", failed=True, name=name)
    return Examined(header, slice_file, number, warnings)


def duplicate(path: Path, name: str, first: Path) -> Skipped:
    """Return why a file with the UID of another is skipped: as a copy, or, against PS3.3 C.12.1, as another image."""
    from ctdenoise.io.dicom.pixels import read_slice  # what decodes pixels is needed here only

    try:
        if file_sha256(path) == file_sha256(first) or read_slice(path).shows_same_as(read_slice(first)):
            return Skipped(path, "same SOPInstanceUID as another file, and the same image", name=name)
        reason = "SOPInstanceUID (0008,0018): expected another one for another image, found that of another file"
    except InputError as error:
        reason = f"same SOPInstanceUID as another file, and one of both cannot be read: {error.problem}"
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
    return Skipped(path, reason, failed=True, name=name)


def input_tree(source: Path) -> Path:
    """Return the folder that a DICOMDIR stands for, its files being beside and below it (PS3.10 section 8.6)."""
    return source.parent if source.name.upper() == "DICOMDIR" and source.is_file() else source


def _slice_file(path: Path, name: str, header: Dataset) -> SliceFile:
    where = slice_plane(header)
    order = (
        np.inf if where.position is None else where.position,
        acquisition(header),
        int(header.get("InstanceNumber") or 0),
        str(path),
    )
    frames, enhanced = int(header.get("NumberOfFrames") or 1), is_enhanced(header)
    return SliceFile(
        path, name, str(header.SOPInstanceUID), where, order, frames, enhanced, missing_pixel_bytes(header, path)
    )


def _series(gathering: _Gathering) -> Series:
    first = gathering.first
    return Series(
        uid=str(first.SeriesInstanceUID),
        study_uid=str(first.StudyInstanceUID),
        number=gathering.number,
        description=str(first.get("SeriesDescription") or ""),
        rows=int(first.Rows),
        columns=int(first.Columns),
        slices=tuple(sorted(gathering.slices, key=lambda s: s.order)),
        patients=tuple(sorted(gathering.patients)),
        warnings=(*gathering.warnings, *_several_patients(gathering.patients)),
    )


def _several_patients(patients: set[str]) -> list[str]:
    if len(patients) == 1:
        return []
    return [f"PatientID (0010,0020): expected one patient in a series, found {len(patients)}"]


def _patient(header: Dataset) -> str:
    """Hash what tells patients apart (PS3.3 C.2.2): an ID is unique for its issuer only."""
    identifier, issuer = (str(header.get(k) or "").strip() for k in ("PatientID", "IssuerOfPatientID"))
    study = "" if identifier else str(header.StudyInstanceUID)
    return hashlib.sha256("\0".join((identifier, issuer, study)).encode()).hexdigest()
