"""What noise alone does: the largest value of simulated noise in each band, as a distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctdenoise.audit.bands import bands
from ctdenoise.audit.noise_model import NoiseModel

#: Simulated images, their side and that of the tiles whose largest values are collected, pixels.
_IMAGES, _SIDE, _TILE = 6, 512, 128
_EULER = 0.5772


@dataclass(frozen=True)
class BandNull:
    """The distribution of a band in noise with a standard deviation of 1 HU.

    Attributes
    ----------
    std
        Standard deviation of the band, HU for each HU of noise.
    location, spread
        Of the Gumbel distribution of the largest magnitude, in standard deviations, over :attr:`area_mm2`.
    area_mm2
        Area of a tile.
    """

    std: float
    location: float
    spread: float
    area_mm2: float

    def p_value(self, z: float, area_mm2: float) -> float:
        """Return how probable a value as large as `z`, or larger, is anywhere in an area of noise."""
        location = self.location + self.spread * np.log(max(area_mm2, 1.0) / self.area_mm2)
        return float(-np.expm1(-np.exp(-(z - location) / self.spread)))


def simulate_null(noise: NoiseModel, *, seed: int = 0) -> list[BandNull]:
    """Simulate noise with the spectrum of a series and return the distribution of each band, finest first."""
    rng = np.random.default_rng(seed)
    images = [bands(noise.unit_field((_SIDE, _SIDE), rng), noise.pixel_mm) for _ in range(_IMAGES)]
    found = []
    for same in zip(*images, strict=True):
        values = np.stack([np.abs(band.values) for band in same])
        std = float(np.sqrt(np.mean(values**2)))
        side = _TILE // same[0].step
        count = values.shape[1] // side
        tiles = values[:, : count * side, : count * side].reshape(len(values), count, side, count, side)
        largest = tiles.max(axis=(2, 4)).ravel() / std
        spread = float(np.sqrt(6) / np.pi * largest.std())
        area = (_TILE * noise.pixel_mm) ** 2
        found.append(BandNull(std, float(largest.mean()) - _EULER * spread, spread, area))
    return found
