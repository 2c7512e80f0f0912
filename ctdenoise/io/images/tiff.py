"""TIFF of one image: uncompressed pixels after a directory of tags, which Pillow writes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from ctdenoise.io.images.photograph import Photograph

#: Orientation, resolution with its unit, ICC profile
_APPEARANCE = (274, 282, 283, 296, 34675)
#: Names, description, maker, software, time, people, XMP, copyright, IPTC, Photoshop's
_TEXT = (269, 270, 271, 272, 285, 305, 306, 315, 316, 700, 33432, 33723, 34377)
#: Directories of EXIF and GPS; what in them is an offset in the old file
_DIRECTORIES, _OFFSETS = (34665, 34853), (40965,)
_ASCII, _LONG = 2, 4

Tag = tuple[int, Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class TiffPhotograph(Photograph):
    """A TIFF image.

    Attributes
    ----------
    tags
        Type and value by number, of those that do not say how pixels are stored; a directory is a dictionary.
    """

    tags: dict[int, Tag]

    def without_identity(self) -> Self:
        """Return the photograph without EXIF, GPS, XMP and tags of text."""
        return replace(self, tags={number: tag for number, tag in self.tags.items() if number in _APPEARANCE})

    def _save(self, stored: NDArray[Any], path: Path) -> None:
        height, width, channels = stored.shape
        directory = ImageFileDirectory_v2(prefix=b"II")
        for number, (kind, value) in self.tags.items():
            directory.tagtype[number] = kind
            directory[number] = value
        directory[256], directory[257] = width, height
        directory[258] = (stored.itemsize * 8,) * channels  # bits of each sample
        directory[259] = 1  # no compression
        directory[262] = 1 if channels < 3 else 2  # black is zero; RGB
        directory[273], directory[278], directory[279] = 0, height, stored.nbytes  # one strip; Pillow sets its offset
        directory[277] = channels
        directory[284] = 1  # samples of a pixel are side by side
        if channels in (2, 4):
            directory[338] = 2  # the last is alpha that pixels are not multiplied by
        with path.open("wb") as file:
            directory.save(file)
            file.write(np.ascontiguousarray(stored, stored.dtype.newbyteorder("<")).data)


def tiff_tags(image: TiffImageFile) -> dict[int, Tag]:
    """Return the tags of an opened image that are kept."""
    tags: dict[int, Tag] = {}
    for number in _APPEARANCE + _TEXT:
        if number in image.tag_v2:
            kind, value = image.tag_v2.tagtype[number], image.tag_v2[number]
            # Pillow reads text as Latin-1 but would write it as ASCII.
            tags[number] = kind, value.encode("latin-1") if kind == _ASCII and isinstance(value, str) else value
    exif = image.getexif()
    for number in _DIRECTORIES:
        entries = {key: value for key, value in exif.get_ifd(number).items() if key not in _OFFSETS}
        if entries:
            tags[number] = _LONG, entries
    return tags
