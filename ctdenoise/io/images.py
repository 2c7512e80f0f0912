"""Photographs: PNG, TIFF, JPEG and BMP of 8 or 16 bits, grey or colour, through Pillow and SimpleITK."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ctdenoise.errors import InputError

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
_EXTRAS = ("exif", "icc_profile", "dpi")


def is_image(path: Path) -> bool:
    """Whether a file's name says that it is a photograph."""
    return path.name.lower().endswith(SUFFIXES)


@dataclass(frozen=True)
class Photograph:
    """A photograph as it was read.

    Attributes
    ----------
    values
        ``[H, W, 1]`` or ``[H, W, 3]`` float32 in [0, 1].
    alpha
        ``[H, W, 1]`` as stored, or None.
    dtype
        uint8 or uint16, of the file.
    extras
        EXIF, ICC profile and the like, for Pillow to write back.
    """

    values: NDArray[np.float32]
    alpha: NDArray[Any] | None
    dtype: np.dtype[Any]
    extras: dict[str, Any]

    def write(self, values: NDArray[np.float32], path: Path) -> int:
        """Write other values with this photograph's depth, alpha and extras; the name is given when it is whole.

        Returns
        -------
        int
            How many values were outside [0, 1] and had to be clipped.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        full_scale = np.iinfo(self.dtype).max
        stored = np.rint(np.clip(values, 0, 1) * full_scale).astype(self.dtype)
        if self.alpha is not None:
            stored = np.concatenate((stored, self.alpha), axis=2)
        # The suffix decides the format, so the temporary name keeps it.
        partial = path.with_name(f".partial-{path.name}")
        try:
            _write(stored, partial, self.extras)
            partial.replace(path)
        except (OSError, RuntimeError) as error:
            raise InputError("cannot be written", path=path, hint="free space or choose another folder") from error
        finally:
            partial.unlink(missing_ok=True)
        return int(np.count_nonzero((values < 0) | (values > 1)))


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
        stored, extras = _read(path)
    except (OSError, RuntimeError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(
            "expected a PNG, TIFF, JPEG or BMP image, found one that cannot be read",
            path=path,
            hint="the file may be damaged or cut off",
        ) from error
    channels = stored.shape[2]
    colours = 1 if channels < 3 else 3
    values = stored[..., :colours].astype(np.float32) / np.float32(np.iinfo(stored.dtype).max)
    return Photograph(values, stored[..., colours:] if channels > colours else None, stored.dtype, extras)


def _read(path: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return ``[H, W, C]`` uint8 or uint16, and what else Pillow found; Pillow has no 16-bit colour."""
    with Image.open(path) as image:
        sixteen_bits = ";16" in f"{image.mode} {image.tile}"
        frames = getattr(image, "n_frames", 1)
        if frames > 1 or image.mode in ("F", "I"):
            raise InputError(f"expected one image of 8 or 16 bits, found {frames} of mode {image.mode}", path=path)
        if sixteen_bits and image.mode == "LA":
            raise InputError(
                "16-bit grey with alpha cannot be read", path=path, hint="convert it to RGBA, or leave the alpha out"
            )
        if not sixteen_bits:
            mode = image.mode
            if mode not in ("L", "LA", "RGB", "RGBA"):
                mode = "RGBA" if image.has_transparency_data else "L" if mode == "1" else "RGB"
            stored = np.asarray(image.convert(mode))
            extras = {str(key): value for key, value in image.info.items() if key in _EXTRAS}
            return stored.reshape(*stored.shape[:2], -1), extras
    stored = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
    return stored.reshape(*stored.shape[:2], -1), {}


def _write(stored: NDArray[Any], path: Path, extras: dict[str, Any]) -> None:
    flat = stored[..., 0] if stored.shape[2] == 1 else stored
    if stored.dtype == np.uint8:
        if path.suffix.lower() in (".jpg", ".jpeg"):
            extras = {**extras, "quality": 95}
        Image.fromarray(flat).save(path, **extras)
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(flat, isVector=stored.shape[2] > 1), path)
