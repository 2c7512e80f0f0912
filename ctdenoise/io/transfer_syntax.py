"""Choices of a transfer syntax, apart from the encoders so that command lines need no pydicom."""

from __future__ import annotations

from enum import StrEnum


class TransferSyntax(StrEnum):
    """Names of the transfer syntaxes that derived images can be written in; all are lossless."""

    EXPLICIT = "explicit"
    RLE = "rle"
    JPEG_LS = "jpeg-ls"
    JPEG_2000 = "jpeg-2000"
    #: The source's own where it is lossless and there is an encoder for it; explicit little endian otherwise.
    SOURCE = "source"
