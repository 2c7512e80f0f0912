"""Detectability index d′ of a disc: how well a model observer sees it in the noise of an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ctdenoise.noise.measure import REGION_SIZE, Noise

#: Diameter in mm and contrast in HU of the disc that d′ is reported for.
TASK = (5.0, 10.0)


def detectability(
    noise: Noise,
    pixel_spacing_mm: float,
    *,
    ttf: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    task: tuple[float, float] = TASK,
) -> float:
    """Return d′ of a non-prewhitening observer for a disc in a uniform background.

    d′² = (∬ |W·TTF|² df)² / ∬ |W·TTF|²·NPS df (AAPM TG-233, §3.2.5; ICRU report 87), where W is the Fourier transform
    of the disc.

    Parameters
    ----------
    noise
        Noise in uniform regions.
    pixel_spacing_mm
        Pixel spacing.
    ttf
        Frequency, cycles per mm, and task transfer function; 1 everywhere if not given.
    task
        Diameter, mm, and contrast, HU.
    """
    return Observer(pixel_spacing_mm, task)(noise.frequency, noise.power, ttf)


class Observer:
    """The non-prewhitening observer of :func:`detectability`, prepared for many curves."""

    def __init__(self, pixel_spacing_mm: float, task: tuple[float, float] = TASK) -> None:
        axis = np.fft.fftfreq(_SIZE, pixel_spacing_mm)
        radius = np.hypot(*np.meshgrid(axis, axis)).round(9).ravel()
        self._frequency, ring = np.unique(radius, return_inverse=True)
        # The energy of the disc at each distance from zero frequency, times the area of a bin.
        area = 1 / (_SIZE * pixel_spacing_mm) ** 2
        self._energy = np.bincount(ring.ravel(), _disc_energy(pixel_spacing_mm, *task).ravel()) * area

    def __call__(
        self,
        frequency: NDArray[np.float64],
        power: NDArray[np.float64],
        ttf: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    ) -> float:
        """Return d′ for a radial noise power spectrum, ``[F]`` HU² mm², and a TTF."""
        signal = self._energy
        if ttf is not None:
            signal = signal * np.interp(self._frequency, ttf[0], ttf[1], right=float(ttf[1][-1])) ** 2
        denominator = (signal * np.interp(self._frequency, frequency, power)).sum()
        return float(signal.sum() / np.sqrt(denominator)) if denominator else float("inf")


#: Four times the side of a region: finer frequency bins than the spectrum has, and a whole number of its periods.
_SIZE = 4 * REGION_SIZE


def _disc_energy(pixel_spacing_mm: float, diameter: float, contrast: float) -> NDArray[np.float64]:
    """Return |W|² of a disc, ``[128, 128]`` (HU mm²)²."""
    y, x = (offset * pixel_spacing_mm for offset in np.mgrid[:_SIZE, :_SIZE] - _SIZE // 2)
    disc = (np.hypot(y, x) <= diameter / 2).astype(float)
    # Pixels approximate the shape of the disc; its area, and so its energy, is made exact.
    disc *= np.sqrt(np.pi * diameter**2 / 4 / (disc.sum() * pixel_spacing_mm**2))
    return np.asarray(np.abs(np.fft.fft2(disc) * contrast * pixel_spacing_mm**2) ** 2)
