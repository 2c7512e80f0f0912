"""Correlation of the noise of neighbouring slices along the normal of a series.

Reconstruction correlates the noise of slices of which it used common data. The model here is a moving average of
independent noise, ``n[k] + a (n[k - 1] + n[k + 1])``: the correlation of neighbours is ``2a / (1 + 2a²)``, that of
slices two apart ``a² / (1 + 2a²)``, and beyond there is none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import toeplitz

from ctdenoise.noise.measure import ANATOMY_PER_MM, REGION_SIZE, uniform_regions

#: The moving average reaches √½.
MAX_CORRELATION = 0.7


def representable(correlation: float) -> float:
    """Return the nearest correlation that the moving average can have, 0 to 0.7."""
    return min(max(correlation, 0.0), MAX_CORRELATION)


def neighbour_share(correlation: float) -> float:
    """Return a of the moving average with this correlation of neighbours, 0 to 0.7."""
    return (1 - float(np.sqrt(1 - 2 * correlation**2))) / (2 * correlation) if correlation else 0.0


def correlate(noise: NDArray[np.floating], correlation: float) -> NDArray[np.floating]:
    """Return noise ``[N - 2, H, W]`` that is correlated along N, from independent ``[N, H, W]`` as strong."""
    share = neighbour_share(correlation)
    mixed: NDArray[np.floating] = (noise[1:-1] + share * (noise[:-2] + noise[2:])) / np.sqrt(1 + 2 * share**2)
    return mixed


def correlate_all(noise: NDArray[np.floating], correlation: float) -> NDArray[np.floating]:
    """Return noise ``[N, H, W]`` that is correlated along N as that of :func:`correlate`, from independent as strong.

    It needs no slices beyond the ends: a few slices are mixed by the Cholesky factor of their covariance.
    """
    share = neighbour_share(correlation)
    lags = np.zeros(max(3, len(noise)))
    lags[:3] = 1.0, correlation, share**2 / (1 + 2 * share**2)
    mixing = np.linalg.cholesky(toeplitz(lags[: len(noise)]))
    mixed: NDArray[np.floating] = np.tensordot(mixing, noise, axes=1)
    return mixed


def noise_correlation(hu: NDArray[np.float32], pixel_mm: float) -> float:
    """Return the correlation of the noise of neighbouring slices ``[N, H, W]``, in uniform regions; 0 without any.

    Of frequencies above 0.15 cycles per mm, below which residual anatomy is stronger than noise; the median over
    regions of 32 × 32 pixels.
    """
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(REGION_SIZE, pixel_mm)] * 2))
    window = np.outer(*[np.hanning(REGION_SIZE)] * 2)

    def noise(image: NDArray[np.float32], row: int, column: int) -> NDArray[np.float64]:
        region = image[row : row + REGION_SIZE, column : column + REGION_SIZE].astype(np.float64)
        spectrum = np.fft.fft2((region - region.mean()) * window) * (frequency > ANATOMY_PER_MM)
        return np.fft.ifft2(spectrum).real.ravel()

    found = [
        np.corrcoef(noise(hu[index], *place), noise(hu[index + 1], *place))[0, 1]
        for index, *place in uniform_regions(list(hu[:-1]))
    ]
    return float(np.median(found)) if found else 0.0
