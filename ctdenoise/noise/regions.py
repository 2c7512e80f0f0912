"""Uniform regions in which the noise of a series is measured, found without looking at that noise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ctdenoise.noise.measure import MIN_REGIONS, REGION_SIZE, Region, detrended, soft_tissue_regions

#: Largest number of regions of a series.
MAX_SERIES_REGIONS = 96
#: Regions are uniform up to this multiple of the structure, relative to noise, that the most uniform tenth has: of a
#: phantom, that is about half; of a patient, few more than this tenth.
_UNIFORM_TENTHS = 1.5
#: Share that is taken for uniform where it is judged in the very slices that are measured.
_UNIFORM_SHARE_SAME = 0.5
#: Standard deviation of the Gaussian that separates anatomy from noise, pixels.
_SMOOTHING = 2.5


def series_regions(neighbours: Mapping[int, NDArray[np.float32]], *, independent: bool = True) -> list[Region]:
    """Find regions in which a series is uniform, so that the choice does not prefer low noise.

    Regions with little noise look more uniform than others, for two reasons, and a choice by uniformity alone makes the
    measured noise too low, by 10 to 20 % in body scans. First, by chance: therefore uniformity is judged in the
    neighbouring slices, whose noise is another. Second, as noise is weaker at the periphery: therefore the structure
    that is left after smoothing is compared with the noise that smoothing took out in the same place.

    Parameters
    ----------
    neighbours
        For each slice that is measured, by its index, the mean of its neighbours, ``[H, W]`` HU; the slice itself where
        it has none.
    independent
        Whether these are other slices than those that are measured. If not, half of the soft tissue is taken for
        uniform: a stricter choice would be one for low noise again.

    Returns
    -------
    list of Region
        At most 96 regions of 32 × 32 pixels, in turn from each slice. They overlap only where fewer than 6 do not.
    """
    found = sorted((one for index, hu in neighbours.items() for one in _candidates(index, hu)), key=lambda one: one[0])
    count = round(len(found) * _UNIFORM_SHARE_SAME)
    if independent and found:
        limit = _UNIFORM_TENTHS * found[len(found) // 10][0]
        count = sum(ratio <= limit for ratio, _ in found)
    uniform = [region for _, region in found[: max(MIN_REGIONS, count)]]
    by_slice: dict[int, list[Region]] = {}
    for region in uniform:
        chosen = by_slice.setdefault(region[0], [])
        if not any(_overlap(region, other) for other in chosen):
            chosen.append(region)
    longest = max(map(len, by_slice.values()), default=0)
    turns = [regions[turn] for turn in range(longest) for regions in by_slice.values() if turn < len(regions)]
    if len(turns) < MIN_REGIONS:
        turns += [region for region in uniform if region not in turns]
    return turns[:MAX_SERIES_REGIONS]


def _candidates(index: int, hu: NDArray[np.float32]) -> list[tuple[float, Region]]:
    """Return every region of soft tissue in a slice with the ratio of its structure to its noise."""
    clipped = np.clip(np.nan_to_num(hu, nan=-1024.0), -1024, 1024)
    smooth = gaussian_filter(clipped, _SMOOTHING)
    noise = clipped - smooth
    found = []
    for row, column in soft_tissue_regions(smooth):
        cut = np.s_[row : row + REGION_SIZE, column : column + REGION_SIZE]
        structure = float(detrended(smooth[cut]).std())
        # The median is hardly raised by edges.
        strength = float(np.median(np.abs(noise[cut])))
        found.append((structure / max(strength, 1e-3), (index, row, column)))
    return found


def _overlap(one: Region, other: Region) -> bool:
    return abs(one[1] - other[1]) < REGION_SIZE and abs(one[2] - other[2]) < REGION_SIZE
