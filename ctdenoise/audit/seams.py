"""Seams: rows or columns along which the difference of two images changes abruptly, as at the edge of a tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ctdenoise.audit.document import Seam

#: Columns on each side whose means are compared; least number of pixels of the body in a line.
_REACH, _LEAST_PIXELS = 8, 64
#: Parts of a line, and how many must be in the body. The median of their steps counts: a lesion is in one of them.
_PARTS, _LEAST_PARTS = 4, 3
#: Magnitude that differences are clipped to, in standard deviations of the noise: edges must not decide.
_CLIP = 1.0
#: Least step that is usual, HU.
_LEAST_HU = 0.15


def find_seam(
    difference: NDArray[np.float32], body: NDArray[np.bool_], local: NDArray[np.float32], origin: tuple[int, int]
) -> Seam | None:
    """Find the row or column with the largest step or ridge of the mean difference along it.

    Parameters
    ----------
    difference
        ``[H, W]`` HU.
    body
        Pixels that count.
    local
        Local standard deviation of the noise, HU.
    origin
        Row and column of the first pixel in the whole image.

    Returns
    -------
    Seam or None
        None where no line is long enough.
    """
    # In units of the local noise: where noise is strong, as behind the skull, steps would be large by chance.
    clipped = np.clip(difference / local, -_CLIP, _CLIP) * body
    noise_hu = float(np.median(local[body]))
    seams = []
    for name, along in (("row", 1), ("column", 0)):
        parts = zip(*(np.array_split(image, _PARTS, axis=along) for image in (clipped, body)), strict=True)
        profiles = [(part.sum(axis=along, dtype=np.float64), pixels.sum(axis=along)) for part, pixels in parts]
        if found := _largest([sums * noise_hu for sums, _ in profiles], [pixels for _, pixels in profiles]):
            index, z, hu = found
            seams.append(Seam(z=z, hu=hu, line=f"{name} {index + origin[1 - along]}"))
    return max(seams, key=lambda seam: seam.z) if seams else None


def _largest(
    sums: Sequence[NDArray[np.float64]], pixels: Sequence[NDArray[np.int_]]
) -> tuple[int, float, float] | None:
    """Return index, z and HU of the largest step of profiles given by the sums and numbers of pixels of each part."""
    at = np.arange(_REACH, len(sums[0]) - _REACH)
    if at.size < 4 * _REACH:
        return None
    steps, smaller = zip(*(_steps(*part, at) for part in zip(sums, pixels, strict=True)), strict=True)
    total = np.sum(smaller, axis=0)
    usable = (total >= _REACH * _LEAST_PIXELS) & (np.isfinite(steps).sum(axis=0) >= _LEAST_PARTS)
    if np.count_nonzero(usable) < 4 * _REACH:
        return None
    step = np.where(usable, np.nanmedian(np.where(usable, steps, 0.0), axis=0), 0.0)
    # Short lines have larger steps by chance, too.
    score = np.abs(step) * np.sqrt(np.minimum(total / np.median(total[usable]), 1.0))
    usual = max(1.4826 * float(np.median(score[usable])), _LEAST_HU)
    index = int(np.argmax(score))
    return int(at[index]), float(score[index]) / usual, float(step[index])


def _steps(
    sums: NDArray[np.float64], pixels: NDArray[np.int_], at: NDArray[np.int_]
) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """Return the step of the mean at each index, NaN where the body is narrow, and the smaller number of pixels."""
    total, number = (np.concatenate(([0], np.cumsum(values))) for values in (sums, pixels))
    (before, few), (after, many) = (
        (total[b] - total[a], number[b] - number[a]) for a, b in ((at - _REACH, at), (at, at + _REACH))
    )
    smaller = np.minimum(few, many)
    enough = smaller >= _REACH * _LEAST_PIXELS / _PARTS
    return np.where(enough, after / np.maximum(many, 1) - before / np.maximum(few, 1), np.nan), smaller
