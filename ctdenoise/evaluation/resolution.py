"""Task transfer function: how much contrast of each frequency an image keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal.windows import tukey

#: Width of the bins that an edge is sampled in, in pixels; how far on either side of it, in pixels.
_BIN, _REACH = 0.1, 14.0


def ttf(
    images: Sequence[NDArray[np.floating]], centre: tuple[float, float], radius: float, pixel_mm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure the task transfer function at the edge of a disc, by the circular-edge method.

    All pixels near the edge, sorted by their distance from the centre, make one finely sampled edge; its derivative is
    the line spread function, whose Fourier transform is the TTF (Richard et al. 2012; AAPM TG-233, §3.2.2).

    Parameters
    ----------
    images
        ``[H, W]`` HU each, of the same disc; they are averaged, which takes noise away.
    centre, radius
        Of the disc: row and column, and radius in pixels.
    pixel_mm
        Pixel spacing.

    Returns
    -------
    frequency, ttf
        ``[F]`` cycles per mm from 0 to the Nyquist frequency, and the TTF there, 1 at 0.
    """
    average: NDArray[np.float64] = np.mean(images, axis=0, dtype=np.float64)
    rows, columns = np.indices(average.shape)
    distance = np.hypot(rows - centre[0], columns - centre[1]) - radius
    near = np.abs(distance) <= _REACH
    index = np.floor((distance[near] + _REACH) / _BIN).astype(int)
    bins = round(2 * _REACH / _BIN)
    counts = np.bincount(index, minlength=bins + 1)[:bins]
    sums = np.bincount(index, average[near], minlength=bins + 1)[:bins]
    middle = (np.arange(bins) + 0.5) * _BIN - _REACH
    edge = np.asarray(np.interp(middle, middle[counts > 0], sums[counts > 0] / counts[counts > 0]))
    spread = np.diff(edge) * tukey(bins - 1)
    padded = 1 << 12
    transfer = np.abs(np.fft.rfft(spread, padded))
    frequency = np.arange(padded // 2 + 1) / (padded * _BIN * pixel_mm)
    kept = frequency <= 0.5 / pixel_mm
    # Differences and bins average over their width.
    width = np.sinc(frequency[kept] * _BIN * pixel_mm) ** 2
    return frequency[kept], transfer[kept] / transfer[0] / width


def ttf50(images: Sequence[NDArray[np.floating]], centre: tuple[float, float], radius: float, pixel_mm: float) -> float:
    """Return the frequency, cycles per mm, where :func:`ttf` first falls to one half; Nyquist's if never."""
    frequency, transfer = ttf(images, centre, radius, pixel_mm)
    below = np.flatnonzero(transfer < 0.5)
    if below.size == 0:
        return float(frequency[-1])
    last = below[0]
    return float(np.interp(0.5, transfer[[last, last - 1]], frequency[[last, last - 1]]))
