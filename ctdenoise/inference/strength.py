"""How strongly to denoise where nobody says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ctdenoise.noise.lowdose import WATER_PER_MM
from ctdenoise.noise.measure import ANATOMY_PER_MM, FEWEST, evenly_spread, measure_noise, uniform_regions

#: Noise of a full-dose body scan, HU, for slices of this thickness, mm, a kernel whose noise has this mean frequency,
#: cycles per mm, and a patient of this water-equivalent diameter, mm.
FULL_DOSE_HU, FULL_DOSE_MM, FULL_DOSE_PER_MM, FULL_DOSE_DIAMETER_MM = 13.5, 2.5, 0.31, 280.0
#: The least and the most that is taken away.
WEAKEST, STRONGEST = 0.33, 0.9

T = TypeVar("T")


def automatic_strength(
    images: Sequence[NDArray[np.float32]], pixel_mm: float | None, thickness_mm: float | None
) -> float:
    """Return the strength that leaves about the noise of a full-dose scan.

    A low-dose image is the full-dose image and noise. Of its noise of σ, the best estimate of the full-dose image
    keeps a share of (σ₀ / σ)², where σ₀ is the full dose's. That is not known, but known to be about 13.5 HU for slices
    of 2.5 mm, soft-tissue kernels and a patient of 280 mm; more for thin slices, as 1 / √thickness, for sharp kernels,
    as the square of the noise's mean frequency, and for large patients, as exp(µ D / 4) with µ of water and D their
    water-equivalent diameter (AAPM report 220): the tube current makes up for half of what they attenuate (Gies et al.
    1999). Noise is measured in the images themselves, above 0.15 cycles per mm, where there is little anatomy.

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
        0.33 to 0.9, in steps of 0.01; 1 where there is no soft tissue to measure in.
    """
    regions = uniform_regions(images)
    if len(regions) < FEWEST:
        return 1.0
    spacing = pixel_mm or 0.7
    noise = measure_noise(images, regions, spacing).above(ANATOMY_PER_MM)
    thinner = FULL_DOSE_MM / (thickness_mm or FULL_DOSE_MM)
    wider = _water_equivalent_diameter(images, spacing) - FULL_DOSE_DIAMETER_MM
    sharper = noise.mean_frequency / FULL_DOSE_PER_MM
    full_dose = FULL_DOSE_HU * thinner**0.5 * sharper**2 * np.exp(WATER_PER_MM * wider / 4)
    kept = (full_dose / max(noise.std, 1e-6)) ** 2
    return round(float(np.clip(1 - kept, WEAKEST, STRONGEST)), 2)


def _water_equivalent_diameter(images: Sequence[NDArray[np.float32]], pixel_mm: float) -> float:
    """Of a cylinder of water that attenuates as much as an average image does, mm (AAPM report 220, eq. 3)."""
    water = np.mean([np.maximum(0.0, 1 + image / 1000).sum() for image in images]) * pixel_mm**2
    return float(2 * np.sqrt(water / np.pi))


def some_of(items: Sequence[T]) -> list[T]:
    """Return eight items, evenly spread, or all if there are fewer."""
    return [items[i] for i in evenly_spread(len(items), 8)]
