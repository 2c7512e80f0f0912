"""Bootstrap intervals of what is measured in several slices, regions or pieces of skin together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Number of resamples.
RESAMPLES = 400
#: Fewest slices that are resampled as a whole; of fewer, their regions and pieces of skin are.
FEWEST_SLICES = 6
#: Ends of the interval.
_PERCENTILES = (2.5, 97.5)

Interval = tuple[float, float]


@dataclass(frozen=True)
class Resampling:
    """Resamples of the slices of one evaluation; the same for all images, so that these can be compared.

    Attributes
    ----------
    slices
        Number of slices.
    """

    slices: int

    def weights(self, slice_of_unit: Sequence[int]) -> NDArray[np.float64]:
        """Return how often each unit (a slice, a region, a piece of skin) is drawn: ``[401, U]``.

        The first row is 1 for every unit: the measurement itself. The others are drawn with seed 0: slices with all of
        their units where there are at least 6, else the units.

        Parameters
        ----------
        slice_of_unit
            For each unit, the slice that it is in.
        """
        rng = np.random.default_rng(0)
        units = len(slice_of_unit)
        drawn: NDArray[np.signedinteger] = np.empty((0, units), int)
        if self.slices >= FEWEST_SLICES:
            drawn = rng.multinomial(self.slices, np.full(self.slices, 1 / self.slices), RESAMPLES)
            drawn = drawn[:, list(slice_of_unit)]
        elif units > 1:
            drawn = rng.multinomial(units, np.full(units, 1 / units), RESAMPLES)
        return np.concatenate((np.ones((1, units)), drawn))


def weighted_mean(weights: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of values ``[U, ...]`` for each row of weights ``[R, U]``; NaN where all weights are 0."""
    total = weights.sum(axis=1).reshape(-1, *[1] * (values.ndim - 1))
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = np.tensordot(weights, values, axes=1) / total
    return mean


def interval(resampled: Iterable[float]) -> Interval | None:
    """Return the percentile 95 % interval of a measurement and its resamples; None where it cannot be resampled.

    Parameters
    ----------
    resampled
        The measurement itself first. Resamples that are not finite are left out.
    """
    values = np.array(list(resampled)[1:], float)
    values = values[np.isfinite(values)]
    if values.size < RESAMPLES / 2:
        return None
    low, high = np.percentile(values, _PERCENTILES)
    return float(low), float(high)
