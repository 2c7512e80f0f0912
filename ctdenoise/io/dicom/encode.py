"""Transfer syntaxes of derived images; all are lossless."""

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

from ctdenoise.errors import InputError
from ctdenoise.io.transfer_syntax import TransferSyntax

_UIDS = {
    TransferSyntax.EXPLICIT: ExplicitVRLittleEndian,
    TransferSyntax.RLE: RLELossless,
    TransferSyntax.JPEG_LS: JPEGLSLossless,
    TransferSyntax.JPEG_2000: JPEG2000Lossless,
}
_NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)


def resolve_transfer_syntax(name: TransferSyntax | str, source_syntax: UID) -> UID:
    """Return the transfer syntax in which a derived image is written.

    For ``source`` it differs from `source_syntax` where that is lossy, big endian (retired) or has no encoder.

    Parameters
    ----------
    name
        One of :class:`TransferSyntax`.
    source_syntax
        The transfer syntax of the source.

    Raises
    ------
    ValueError
        If there is no such name.
    """
    name = TransferSyntax(name)
    if name != TransferSyntax.SOURCE:
        return _UIDS[name]
    return source_syntax if source_syntax in (*_NATIVE, *_UIDS.values()) else ExplicitVRLittleEndian


def encode(dataset: Dataset, name: TransferSyntax | str, source_syntax: UID) -> UID:
    """Bring a dataset from explicit little endian into another transfer syntax, in place.

    Parameters
    ----------
    dataset
        With uncompressed Pixel Data and file meta information.
    name
        One of :class:`TransferSyntax`.
    source_syntax
        The transfer syntax of the source.

    Returns
    -------
    UID
        The transfer syntax that is used: see :func:`resolve_transfer_syntax`.

    Raises
    ------
    InputError
        If the encoder refuses the image, as those of JPEG-LS and JPEG 2000 do with very small ones.
    """
    syntax = resolve_transfer_syntax(name, source_syntax)
    if syntax in _NATIVE:
        dataset.file_meta.TransferSyntaxUID = syntax
        return syntax
    # GDCM's RLE encoder ends the whole process at frames of 8 bits with an odd number of pixels.
    odd = dataset.BitsAllocated == 8 and dataset.Rows * dataset.Columns % 2
    plugin = "pydicom" if syntax == RLELossless and odd else ""
    try:
        dataset.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
    except RuntimeError as error:
        raise InputError(
            f"{dataset.Rows} × {dataset.Columns} pixels cannot be encoded in {syntax.name}",
            tag="PixelData (7FE0,0010)",
            hint="choose another transfer syntax",
        ) from error
    return syntax
