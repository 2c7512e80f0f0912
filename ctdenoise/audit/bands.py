"""Structures of a few millimetres in an image: band-pass filtered images at four scales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Image = NDArray[np.float32]

#: Standard deviation of the narrow Gaussian of each band, mm; that of the wide one is the next. A band answers most to
#: discs of about 3.4 times its standard deviation: 2.5, 4.5, 8 and 14 mm.
SCALES_MM = (0.75, 1.35, 2.43, 4.37)
_WIDEST_MM = 7.87
#: Least standard deviation of a Gaussian on the grid that its result is sampled on, in its pixels.
_LEAST_SAMPLES = 1.6
_LARGEST_STEP = 4


@dataclass(frozen=True)
class Band:
    """A band-pass filtered image.

    Attributes
    ----------
    scale_mm
        Standard deviation of the narrow Gaussian.
    step
        Every how many pixels it is sampled.
    values
        ``[⌈H / step⌉, ⌈W / step⌉]`` HU.
    """

    scale_mm: float
    step: int
    values: Image


def bands(image: Image, pixel_mm: float) -> list[Band]:
    """Filter an image ``[H, W]`` by differences of Gaussians, finest first.

    The filters are linear: the bands of a difference are the differences of the bands.
    """
    widths = [max(scale / pixel_mm, 0.3) for scale in (*SCALES_MM, _WIDEST_MM)]
    step, current = 1, gaussian_filter(image, widths[0], truncate=3)
    found = []
    for scale, narrow, wide in zip(SCALES_MM, widths, widths[1:], strict=False):
        wider = gaussian_filter(current, np.sqrt(wide**2 - narrow**2) / step, truncate=3)
        found.append(Band(scale, step, current - wider))
        next_step = step
        while next_step < _LARGEST_STEP and wide / (2 * next_step) >= _LEAST_SAMPLES:
            next_step *= 2
        ratio = next_step // step
        current, step = wider[::ratio, ::ratio], next_step
    return found
