"""DICOM in, DICOM out: discover series, read slices as HU, derive and write slices."""

from ctdenoise.io.dicom.derivation import Derivation
from ctdenoise.io.dicom.derive import derive_slice
from ctdenoise.io.dicom.discover import Discovery, Series, SliceFile, discover
from ctdenoise.io.dicom.pixels import CTSlice, StoredPixels, read_slice
from ctdenoise.io.dicom.write import write_slice

__all__ = [
    "CTSlice",
    "Derivation",
    "Discovery",
    "Series",
    "SliceFile",
    "StoredPixels",
    "derive_slice",
    "discover",
    "read_slice",
    "write_slice",
]
