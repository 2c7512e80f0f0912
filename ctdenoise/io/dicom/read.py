"""Read DICOM files, with and without preamble."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ctdenoise.errors import Help, InputError

#: First bytes of a dataset without preamble: group 0002 or 0008, in either byte order.
_BEGINNINGS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")


class NotDicomError(Exception):
    """The file is not a DICOM file."""


def read_dataset(path: Path, **options: Any) -> Dataset:
    """Read a DICOM file; one without preamble (PS3.10 section 7.1), as old scanners wrote them, by its first bytes.

    Parameters
    ----------
    path
        The file.
    options
        Arguments of :func:`pydicom.dcmread`.

    Returns
    -------
    Dataset
        With a transfer syntax in its file meta information: that of the file, or the one it was found to be in.

    Raises
    ------
    NotDicomError
        If it is not a DICOM file.
    InputError
        If it is one and cannot be read. The message has no values of elements, which may identify the patient.
    """
    try:
        try:
            dataset: Dataset = dcmread(path, **options)
        except InvalidDicomError:
            with path.open("rb") as file:
                if file.read(2) not in _BEGINNINGS:
                    raise NotDicomError from None
            dataset = dcmread(path, force=True, **options)
            if "ACR-NEMA" in str(dataset.get("RecognitionCode")):
                raise NotDicomError("an ACR-NEMA file, older than DICOM") from None
            if "SOPClassUID" not in dataset:
                raise NotDicomError from None
    except NotDicomError:
        raise
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path=path) from error
    except Exception as error:  # pydicom lets many kinds through on damaged files
        raise InputError(f"damaged DICOM file ({type(error).__name__})", path=path, see=Help.DAMAGED) from error
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little_endian = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little_endian else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset
