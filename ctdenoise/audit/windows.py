"""Slices with their neighbours along the series, as the model sees them, and simulated noise for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ctdenoise.evaluation.pairing import AlignedStacks
from ctdenoise.io.neighbours import neighbours_of_unordered
from ctdenoise.noise.along_normal import correlate_all, noise_correlation, representable
from ctdenoise.noise.lowdose import Scan, dose_noise

Image = NDArray[np.float32]
#: ``[N, H, W]`` HU, N odd: a slice in the middle, its neighbours in order along the normal, and the slice itself in
#: place of those that it does not have. Without context, N is 1.
Window = NDArray[np.float32]


def middle(window: Window) -> Image:
    """Return the slice itself."""
    slice_itself: Image = window[len(window) // 2]
    return slice_itself


@dataclass(frozen=True)
class WindowReader:
    """Reads matched slices of stacks with their neighbours.

    Attributes
    ----------
    aligned
        The stacks.
    context
        Neighbours on each side.
    """

    aligned: AlignedStacks
    context: int

    def __call__(self, index: int) -> dict[str, Window]:
        """Read a matched slice of every stack, and its neighbours.

        Raises
        ------
        InputError
            If a slice cannot be read, or the slices differ in size.
        """
        row = self._neighbours[index].tolist()
        images = {other: self.aligned.read(other) for other in dict.fromkeys(row)}
        shape = {name: image.shape for name, image in images[index].items()}
        return {
            name: np.stack([images[i if images[i][name].shape == shape[name] else index][name] for i in row])
            for name in self.aligned.stacks
        }

    @cached_property
    def _neighbours(self) -> NDArray[np.intp]:
        base = self.aligned.base
        slices = [base.slices[next(iter(match.values()))] for match in self.aligned.matches]
        return neighbours_of_unordered([one.plane for one in slices], self.context)


def correlation_of(windows: Sequence[Window], pixel_mm: float) -> float:
    """Return the correlation of the noise of neighbours, from 0 to 0.7: the median of the windows that have all."""
    found = [noise_correlation(one, pixel_mm) for one in windows if len(one) > 1 and not _absent(one)]
    return representable(float(np.median(found))) if found else 0.0


def dose_noise_of(
    window: Window, *, pixel_mm: float, dose: float, scan: Scan, rng: np.random.Generator, correlation: float
) -> Window:
    """Return the noise by which a lower dose differs, for each slice of a window.

    Parameters
    ----------
    window
        A slice with its neighbours. The slice itself, where it stands for a neighbour, gets the same noise.
    pixel_mm, dose, scan, rng
        See :func:`~ctdenoise.noise.lowdose.dose_noise`.
    correlation
        Of the noise of neighbours, from 0 to 0.7.
    """
    independent = np.stack([dose_noise(one, pixel_mm=pixel_mm, dose=dose, scan=scan, rng=rng) for one in window])
    noise = correlate_all(independent, correlation).astype(np.float32)
    noise[_absent(window)] = middle(noise)
    return noise


def _absent(window: Window) -> list[int]:
    """Return the places of the neighbours for which the slice itself stands."""
    centre = len(window) // 2
    return [i for i, one in enumerate(window) if i != centre and np.array_equal(one, window[centre])]
