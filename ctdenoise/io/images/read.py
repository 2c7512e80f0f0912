"""Reading a photograph: the content of the file, not its name, says which format it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from ctdenoise.errors import InputError
from ctdenoise.io.images.jpeg import JpegPhotograph, jpeg_metadata
from ctdenoise.io.images.photograph import Photograph
from ctdenoise.io.images.png import PngPhotograph, png_chunks
from ctdenoise.io.images.tiff import TiffPhotograph, tiff_tags

_FORMATS = ("PNG", "TIFF", "JPEG", "BMP")
#: TIFF tags
_BITS, _PHOTOMETRIC, _ORIENTATION, _PLANAR, _TILE_WIDTH, _ICC = 258, 262, 274, 284, 322, 34675


def read_image(path: Path) -> Photograph:
    """Read a photograph.

    Raises
    ------
    InputError
        If it cannot be read, or is not one image of 8 or 16 bits with 1 to 4 channels.
    """
    if not path.is_file():
        raise InputError("expected an image, found nothing there", path=path)
    try:
        with Image.open(path, formats=_FORMATS) as image:
            return _read(image, path)
    except InputError:
        raise
    except Exception as error:  # damaged files raise many kinds
        raise InputError(
            "expected a PNG, TIFF, JPEG or BMP image, found one that cannot be read",
            path=path,
            hint="the file may be damaged or cut off",
        ) from error


def _read(image: ImageFile, path: Path) -> Photograph:
    stored = _pixels(image, path)  # before the tags: Pillow turns TIFF upright and takes the orientation away
    channels = stored.shape[2]
    colours = 1 if channels < 3 else 3
    pixels: dict[str, Any] = {
        "values": stored[..., :colours].astype(np.float32) / np.float32(np.iinfo(stored.dtype).max),
        "alpha": stored[..., colours:] if channels > colours else None,
        "dtype": stored.dtype,
    }
    # The profile of an image in CMYK or Lab is not one of the RGB that it is converted to.
    has_profile = image.mode not in ("CMYK", "LAB", "YCbCr")
    if isinstance(image, TiffImageFile):
        tags = tiff_tags(image)
        return TiffPhotograph(tags=tags if has_profile else {k: v for k, v in tags.items() if k != _ICC}, **pixels)
    if image.format == "PNG":
        return PngPhotograph(chunks=png_chunks(path), **pixels)
    metadata = jpeg_metadata(image)
    if not has_profile:
        metadata.pop("icc_profile", None)
    return JpegPhotograph(format=image.format or "JPEG", metadata=metadata, **pixels)


def _pixels(image: ImageFile, path: Path) -> NDArray[Any]:
    """Return ``[H, W, C]`` uint8 or uint16, black is 0."""
    bits, frames = _bits(image), getattr(image, "n_frames", 1)
    if frames > 1 or image.mode in ("F", "I") or bits not in (1, 2, 4, 8, 16):
        raise InputError(
            f"expected one image of 8 or 16 bits, found {frames} of mode {image.mode}, {bits} bits", path=path
        )
    if bits < 16:
        mode = image.mode
        if mode not in ("L", "LA", "RGB", "RGBA"):
            mode = "RGBA" if image.has_transparency_data else "L" if mode == "1" else "RGB"
        stored = np.asarray(image.convert(mode))
    else:
        stored = _sixteen_bits(image, path)
        if isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0:
            stored = np.iinfo(np.uint16).max - stored  # white is zero; Pillow does this with 8 bits
    return stored.reshape(*stored.shape[:2], -1)


def _sixteen_bits(image: ImageFile, path: Path) -> NDArray[Any]:
    """Read 16 bits as they are stored, by the library that loses none of them.

    Pillow cuts colour to 8 bits. SimpleITK knows every compression, but cuts tiled, rotated and planar TIFF to 8 bits.
    tifffile reads these, as far as they are not compressed by LZW or JPEG.
    """
    grey = image.mode.startswith("I;16")
    if "LA;16" in str(image.tile) or not (grey or image.mode in ("RGB", "RGBA")):
        raise InputError(
            f"expected grey, RGB or RGBA of 16 bits, found {'grey with alpha' if image.mode == 'RGBA' else image.mode}",
            path=path,
            hint="convert it to RGB or RGBA",
        )
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    planar = not grey and tags.get(_PLANAR, 1) != 1
    if _TILE_WIDTH in tags or tags.get(_ORIENTATION, 1) != 1 or planar:
        import tifffile

        try:
            stored: NDArray[Any] = tifffile.imread(path)
        except ValueError as error:
            raise InputError(
                "16-bit TIFF in compressed tiles or planes, or rotated, cannot be read",
                path=path,
                hint="save it uncompressed",
            ) from error
        return np.moveaxis(stored, 0, -1) if planar else stored
    if grey:
        return np.asarray(image).astype(np.uint16)
    import SimpleITK

    stored = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
    return stored


def _bits(image: ImageFile) -> int:
    """Return the bits of each sample in the file."""
    if isinstance(image, TiffImageFile):
        return int(max(image.tag_v2.get(_BITS, (1,))))
    return 16 if ";16" in f"{image.mode} {image.tile}" else 8
