"""Photographs in files: PNG, TIFF, JPEG and BMP of 8 or 16 bits, grey or colour, mostly through Pillow."""

from __future__ import annotations

from pathlib import Path

from ctdenoise.io.folders import walk_files
from ctdenoise.io.images.photograph import Photograph
from ctdenoise.io.images.read import read_image

__all__ = ["SUFFIXES", "Photograph", "find_images", "is_image", "read_image"]

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")


def is_image(path: Path) -> bool:
    """Whether the name is that of a photograph."""
    return path.name.lower().endswith(SUFFIXES)


def find_images(folder: Path) -> list[Path]:
    """Return the photographs in a folder and the folders below it, sorted by path.

    Symbolic links are followed. Files and folders whose name begins with a dot are left out.
    """
    return sorted(file for file in walk_files(folder) if is_image(file))
