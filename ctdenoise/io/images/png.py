"""PNG: pixels through Pillow, of 16-bit colour through SimpleITK; metadata chunks are copied."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ctdenoise.io.images.photograph import Photograph

#: Chunks that say how pixels look and how large they are, and chunks of text (PNG specification, third edition, 11.3).
_APPEARANCE = (b"cHRM", b"cICP", b"gAMA", b"iCCP", b"mDCV", b"cLLI", b"sRGB", b"pHYs")
_TEXT = (b"eXIf", b"iTXt", b"tEXt", b"tIME", b"zTXt")
#: Bytes of the signature, and of that and the header chunk, which comes first.
_SIGNATURE, _HEADER = 8, 33


@dataclass(frozen=True, eq=False, kw_only=True)
class PngPhotograph(Photograph):
    """A PNG image.

    Attributes
    ----------
    chunks
        Type and all bytes of each metadata chunk.
    """

    chunks: tuple[tuple[bytes, bytes], ...]

    def without_identity(self) -> Self:
        """Return the photograph without EXIF, text and time."""
        return replace(self, chunks=tuple(chunk for chunk in self.chunks if chunk[0] in _APPEARANCE))

    def _save(self, stored: NDArray[Any], path: Path) -> None:
        channels = stored.shape[2]
        flat = stored[..., 0] if channels == 1 else stored
        if stored.dtype == np.uint8 or channels == 1:
            Image.fromarray(flat).save(path, format="PNG")
        else:
            import SimpleITK

            SimpleITK.WriteImage(SimpleITK.GetImageFromArray(flat, isVector=True), path)
        content = path.read_bytes()
        copied = b"".join(whole for _, whole in self.chunks)
        path.write_bytes(content[:_HEADER] + copied + content[_HEADER:])


def png_chunks(path: Path) -> tuple[tuple[bytes, bytes], ...]:
    """Return the metadata chunks of a PNG file, those of appearance first, as they must come before the pixels.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    content = path.read_bytes()
    found: list[tuple[bytes, bytes]] = []
    offset = _SIGNATURE
    while offset < len(content):
        # Length of the data, type, data, checksum
        end = offset + 12 + int.from_bytes(content[offset : offset + 4], "big")
        found.append((content[offset + 4 : offset + 8], content[offset:end]))
        offset = end
    return tuple(chunk for kinds in (_APPEARANCE, _TEXT) for chunk in found if chunk[0] in kinds)
