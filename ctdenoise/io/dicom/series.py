"""CT series as they are found in a folder tree: their files in order, and files that are left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ctdenoise.io.neighbours import Plane


@dataclass(frozen=True)
class SliceFile:
    """One instance of a series.

    Attributes
    ----------
    path
        The file.
    name
        What it is called in messages and manifests: its path in the input tree, or its entry in the archive.
    uid
        SOPInstanceUID.
    plane
        Where it is; its position along the slice normal is None if the file has none.
    order
        Sort key in its series: position, then acquisition and instance number, then path.
    frames, enhanced
        How many frames it has, and whether it is enhanced CT; classic CT has one.
    missing_bytes
        How many bytes of its pixel data are missing, as far as its header tells: the file was cut off.
    """

    path: Path
    name: str
    uid: str
    plane: Plane
    order: tuple[float, int, int, str]
    frames: int = 1
    enhanced: bool = False
    missing_bytes: int = 0

    @property
    def position(self) -> float | None:
        """Millimetres along the slice normal; None if the file has no position."""
        return self.plane.position


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
    patients
        One hash for each patient; more than one is an error of the source. It is made of PatientID and its issuer, and
        without PatientID of StudyInstanceUID. It can be turned back into a record number by trying all, so it is not to
        be written anywhere.
    warnings
        Why a model may not fit: sentences that name a tag, without values that people typed.
    """

    uid: str
    study_uid: str
    number: int | None
    description: str
    rows: int
    columns: int
    slices: tuple[SliceFile, ...]
    patients: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """A file that is not processed.

    Attributes
    ----------
    path
        The file.
    reason
        Why; without names of files and values that people typed.
    failed
        Whether it looks like an image that should have been processed.
    name
        What it is called in messages and manifests; the whole path if not given.
    """

    path: Path
    reason: str
    failed: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or str(self.path))
