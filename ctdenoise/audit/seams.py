"""Seams: rows or columns along which the difference of two images changes abruptly, as at the edge of a tile."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ctdenoise.audit.document import Seam

#: Columns on each side whose means are compared; least number of pixels of the body in a line.
_REACH, _LEAST_PIXELS = 8, 64
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
    for axis, name in ((1, "row"), (0, "column")):
        counts = body.sum(axis=axis).astype(np.float64)
        sums = clipped.sum(axis=axis, dtype=np.float64)
        found = _largest(sums * noise_hu, counts)
        if found:
            index, z, hu = found
            seams.append(Seam(z=z, hu=hu, line=f"{name} {index + origin[0 if axis == 1 else 1]}"))
    return max(seams, key=lambda seam: seam.z) if seams else None


def _largest(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> tuple[int, float, float] | None:
    """Return index, z and HU of the largest step of a profile given by sums and counts of pixels."""
    total, number = (np.concatenate(([0.0], np.cumsum(values))) for values in (sums, counts))
    at = np.arange(_REACH, len(sums) - _REACH)
    if at.size < 4 * _REACH:
        return None
    before, after = (
        (total[b] - total[a]) / np.maximum(number[b] - number[a], 1) for a, b in ((at - _REACH, at), (at, at + _REACH))
    )
    pixels = np.minimum(number[at] - number[at - _REACH], number[at + _REACH] - number[at])
    usable = pixels >= _REACH * _LEAST_PIXELS
    if np.count_nonzero(usable) < 4 * _REACH:
        return None
    step = np.where(usable, after - before, 0.0)
    # Short lines have larger steps by chance, too.
    score = np.abs(step) * np.sqrt(np.minimum(pixels / np.median(pixels[usable]), 1.0))
    usual = max(1.4826 * float(np.median(score[usable])), _LEAST_HU)
    index = int(np.argmax(score))
    return int(at[index]), float(score[index]) / usual, float(step[index])
