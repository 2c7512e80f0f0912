"""Headers of CT slices: what is needed to sort files into series, and why a file is none."""

from __future__ import annotations

import math
from pathlib import Path

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, MediaStorageDirectoryStorage

from ctdenoise.errors import InputError
from ctdenoise.io.dicom.cautions import CAUTION_TAGS
from ctdenoise.io.dicom.enhanced import ENHANCED_CT
from ctdenoise.io.dicom.read import NotDicomError, read_dataset

_KEYWORDS = (
    "AcquisitionNumber",
    "BitsAllocated",
    "Columns",
    "FrameOfReferenceUID",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "InstanceNumber",
    "IssuerOfPatientID",
    "Modality",
    "NumberOfFrames",
    "PatientID",
    "PixelData",
    "PixelSpacing",
    "RecognitionCode",
    "Rows",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "StudyInstanceUID",
    *CAUTION_TAGS,
)
_TAGS = [Tag(keyword) for keyword in _KEYWORDS]


class NotASliceError(Exception):
    """The file is no slice of a CT series, and nothing is wrong with that."""

    def __init__(self, reason: str, *, is_dicom: bool = True) -> None:
        super().__init__(reason)
        self.is_dicom = is_dicom


def read_header(path: Path) -> Dataset:
    """Read what is needed to sort a file into a series.

    Raises
    ------
    NotASliceError
        If the file is not a slice of a CT series, and nothing is wrong with that.
    InputError
        If it looks like one and cannot be used.
    """
    if not path.is_file():
        if path.is_symlink():
            raise InputError("a symbolic link to nothing", path=path)
        raise NotASliceError("a device, pipe or socket", is_dicom=False)
    try:
        header = read_dataset(path, defer_size=1024, specific_tags=_TAGS)
    except NotDicomError as what:
        raise NotASliceError(str(what) or "not a DICOM file", is_dicom=bool(str(what))) from None
    sop_class = header.get("SOPClassUID", header.file_meta.get("MediaStorageSOPClassUID"))
    if not sop_class:
        raise InputError("expected a value, found none; is the file cut off?", path=path, tag="SOPClassUID (0008,0016)")
    if sop_class == MediaStorageDirectoryStorage:
        raise NotASliceError("a DICOMDIR, which holds no image itself")
    if sop_class != CTImageStorage and sop_class not in ENHANCED_CT:
        raise NotASliceError(f"not a CT image but {sop_class.name}")
    if "LOCALIZER" in (header.get("ImageType") or ()):
        raise NotASliceError("a localizer, not a slice of the series")
    if "PixelData" not in header:
        raise InputError(
            "a CT image without pixel data", path=path, tag="PixelData (7FE0,0010)", hint="is the file cut off?"
        )
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "Rows", "Columns"):
        if header.get(keyword) in (None, ""):
            raise InputError("expected a value, found none", path=path, tag=f"{keyword} {Tag(keyword)}")
    if sop_class == CTImageStorage and int(header.get("NumberOfFrames") or 1) != 1:
        raise InputError(
            f"expected one frame, found {int(header.NumberOfFrames)}", path=path, tag="NumberOfFrames (0028,0008)"
        )
    return header


def missing_pixel_bytes(header: Dataset, path: Path) -> int:
    """Return how many bytes of pixel data a file is short of; 0 where they are compressed, as only decoding tells then.

    Parameters
    ----------
    header
        From :func:`read_header`, which leaves the pixel data in the file.
    path
        The file.
    """
    element = dict(header.items())[Tag("PixelData")]
    syntax = header.file_meta.TransferSyntaxUID
    try:
        if syntax.is_compressed or syntax.is_deflated:
            return 0
        sizes = [int(header.get(k) or 1) for k in ("Rows", "Columns", "NumberOfFrames", "BitsAllocated")]
    except Exception:  # damaged elements raise many kinds; reading the image names them
        return 0
    found = len(element.value or b"")
    if isinstance(element, RawDataElement) and element.value is None:
        found = min(element.length, path.stat().st_size - element.value_tell)
    return max(0, math.prod(sizes) // 8 - found)
