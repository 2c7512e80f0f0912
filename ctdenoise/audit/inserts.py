"""Lesions of known size and contrast, as a scan would show them, at places of its own slices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ctdenoise.audit.windows import Window

#: Rows and columns of an insert's patch.
SIDE = 64
#: Finer grid that a disc is drawn on before it is averaged to pixels.
_OVERSAMPLING = 5

Image = NDArray[np.float32]
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


def insert(diameter_mm: float, contrast_hu: float, pixel_mm: float, ttf: Curve) -> NDArray[np.float64]:
    """Return a disc blurred by a task transfer function, ``[64, 64]`` HU, its centre at pixel (32, 32).

    Parameters
    ----------
    diameter_mm, contrast_hu
        Of the disc; at most 20 mm fit into the patch at 0.6 mm pixels.
    pixel_mm
        Pixel spacing.
    ttf
        Frequency, cycles per mm, and TTF.
    """
    fine = np.arange(SIDE * _OVERSAMPLING) / _OVERSAMPLING - SIDE // 2 + (1 / _OVERSAMPLING - 1) / 2
    disc = np.hypot(*np.meshgrid(fine, fine)) <= diameter_mm / 2 / pixel_mm
    pixels = disc.reshape(SIDE, _OVERSAMPLING, SIDE, _OVERSAMPLING).mean(axis=(1, 3))
    # Its area, and so its mean, is made exact.
    pixels *= np.pi * (diameter_mm / 2 / pixel_mm) ** 2 / pixels.sum()
    axis = np.fft.fftfreq(SIDE, pixel_mm)
    transfer = np.interp(np.hypot(*np.meshgrid(axis, axis)), *ttf)
    blurred: NDArray[np.float64] = contrast_hu * np.fft.ifft2(np.fft.fft2(pixels) * transfer).real
    return blurred


def with_inserts(window: Window, patch: NDArray[np.float64], places: Sequence[tuple[int, int]]) -> Window:
    """Return a slice and its neighbours with a patch added at each place (row and column of its centre)."""
    result = window.copy()
    for row, column in places:
        result[:, *around(row, column)] += patch.astype(np.float32)
    return result


def around(row: int, column: int) -> tuple[slice, slice]:
    """Return the patch about a place."""
    half = SIDE // 2
    return slice(row - half, row + half), slice(column - half, column + half)


def spaced(places: Sequence[tuple[int, int]], shape: tuple[int, int], most: int) -> list[tuple[int, int]]:
    """Return the first places whose patches lie inside the slice and do not overlap, at most so many."""
    half = SIDE // 2
    found: list[tuple[int, int]] = []
    for row, column in places:
        inside = half <= row <= shape[0] - half and half <= column <= shape[1] - half
        if inside and all(max(abs(row - r), abs(column - c)) >= SIDE for r, c in found):
            found.append((row, column))
        if len(found) == most:
            break
    return found
