"""In which transfer syntax derived images are written; all are lossless."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

#: By the names the command line has for them.
TRANSFER_SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg-ls": JPEGLSLossless,
    "jpeg-2000": JPEG2000Lossless,
}
#: The source's own, where it is lossless and there is an encoder for it; explicit little endian otherwise.
SOURCE = "source"
_NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)


def encode(dataset: Dataset, name: str, source_syntax: UID) -> None:
    """Bring a dataset from explicit little endian into another transfer syntax.

    Parameters
    ----------
    dataset
        With uncompressed Pixel Data and file meta information; changed in place.
    name
        A key of :data:`TRANSFER_SYNTAXES`, or ``"source"``.
    source_syntax
        The transfer syntax of the source.
    """
    if name == SOURCE:
        possible = (*_NATIVE, *TRANSFER_SYNTAXES.values())
        syntax = source_syntax if source_syntax in possible else ExplicitVRLittleEndian
    else:
        syntax = TRANSFER_SYNTAXES[name]
    if syntax in _NATIVE:
        dataset.file_meta.TransferSyntaxUID = syntax
    else:
        dataset.compress(syntax, generate_instance_uid=False)
