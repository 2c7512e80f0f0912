"""JPEG and BMP through Pillow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray
from PIL import Image

from ctdenoise.io.images.photograph import Photograph

_KEPT = ("exif", "icc_profile", "dpi", "comment", "xmp")
_ORIENTATION = 274


@dataclass(frozen=True, eq=False, kw_only=True)
class JpegPhotograph(Photograph):
    """A JPEG or BMP image.

    Attributes
    ----------
    format
        ``"JPEG"`` or ``"BMP"``.
    metadata
        EXIF, ICC profile, resolution in dots per inch, comment and XMP, as far as the file has them.
    """

    format: str
    metadata: dict[str, Any]

    def without_identity(self) -> Self:
        """Return the photograph without EXIF but for the orientation, comment and XMP."""
        metadata: dict[str, Any] = {key: self.metadata[key] for key in ("icc_profile", "dpi") if key in self.metadata}
        exif = Image.Exif()
        exif.load(self.metadata.get("exif", b""))
        if _ORIENTATION in exif:
            kept = Image.Exif()
            kept[_ORIENTATION] = exif[_ORIENTATION]
            metadata["exif"] = kept.tobytes()
        return replace(self, metadata=metadata)

    def _save(self, stored: NDArray[Any], path: Path) -> None:
        flat = stored[..., 0] if stored.shape[2] == 1 else stored
        quality = {"quality": 95} if self.format == "JPEG" else {}
        Image.fromarray(flat).save(path, format=self.format, **self.metadata, **quality)


def jpeg_metadata(image: Image.Image) -> dict[str, Any]:
    """Return what Pillow can write again of an opened image."""
    return {str(key): value for key, value in image.info.items() if key in _KEPT}
