"""How strongly to denoise where nobody says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ctdenoise.noise.measure import ANATOMY_PER_MM, FEWEST, evenly_spread, measure_noise, uniform_regions

#: Noise of a full-dose body scan with a soft-tissue kernel, HU; the mean frequency of that noise, cycles per mm;
#: and the slice thickness, mm.
FULL_DOSE_HU, FULL_DOSE_PER_MM, FULL_DOSE_MM = 11.5, 0.31, 2.5
#: The least and the most that is taken away.
WEAKEST, STRONGEST = 0.25, 0.85

T = TypeVar("T")


def automatic_strength(
    images: Sequence[NDArray[np.float32]], pixel_mm: float | None, thickness_mm: float | None
) -> float:
    """Return the strength that leaves about the noise of a full-dose scan.

    A low-dose image is the full-dose image and noise. Of its noise of σ, the best estimate of the full-dose image
    keeps a share of (σ₀ / σ)², where σ₀ is the full dose's; all of it where the image is full-dose itself. σ₀ is not
    known but known to be about 11.5 HU for soft-tissue kernels and slices of 2.5 mm; more for sharp ones, as the square
    of the noise's mean frequency, and for thin ones, as 1 / √thickness. So the share kept here is (σ₀ / σ)³, which is
    sharper about σ₀, from 0.15 to 0.75. Noise is measured in the images themselves, above 0.15 cycles per mm, where
    there is little anatomy.

    Parameters
    ----------
    images
        Some slices of a series, ``[H, W]`` HU.
    pixel_mm
        Their pixel spacing; 0.7 is taken where it is not known.
    thickness_mm
        Of a slice; 2.5 is taken where it is not known.

    Returns
    -------
    float
        0.25 to 0.85, in steps of 0.01; 1 where there is no soft tissue to measure in.
    """
    regions = uniform_regions(images)
    if len(regions) < FEWEST:
        return 1.0
    noise = measure_noise(images, regions, pixel_mm or 0.7).above(ANATOMY_PER_MM)
    thinner = FULL_DOSE_MM / (thickness_mm or FULL_DOSE_MM)
    full_dose = FULL_DOSE_HU * (noise.mean_frequency / FULL_DOSE_PER_MM) ** 2 * thinner**0.5
    kept = (full_dose / max(noise.std, 1e-6)) ** 3
    return round(float(np.clip(1 - kept, WEAKEST, STRONGEST)), 2)


def some_of(items: Sequence[T]) -> list[T]:
    """Return eight items, evenly spread, or all if there are fewer."""
    return [items[i] for i in evenly_spread(len(items), 8)]
