"""Model observers: how well a known signal is seen in stationary noise of a known spectrum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.stats import norm

#: Dense difference-of-Gaussian channels (Abbey & Barrett 2001): number, width of the first in cycles per pixel, ratio
#: of successive widths, ratio of the two Gaussians of a channel.
_CHANNELS, _FIRST, _RATIO, _WIDER = 10, 0.015, 1.4, 1.67
#: Variance of the observer's internal noise over that of the image's noise in each channel.
INTERNAL_NOISE = 1.0


def pixel_spectrum(nps: NDArray[np.float64], pixel_mm: float, size: int) -> NDArray[np.float64]:
    """Return a noise power spectrum, HU² mm², as variances of the bins of a discrete transform ``[size, size]``.

    Their mean is the variance of a pixel.

    Parameters
    ----------
    nps
        ``[N, N]`` in the order of :func:`numpy.fft.fftfreq`.
    pixel_mm
        Pixel spacing.
    size
        Rows and columns of the signals it is for.
    """
    side = len(nps)
    at = np.fft.fftfreq(size) * side + side // 2
    grid = np.meshgrid(at, at, indexing="ij")
    fine: NDArray[np.float64] = map_coordinates(np.fft.fftshift(nps), grid, order=1, mode="grid-wrap")
    fine *= nps.mean() / max(float(fine.mean()), 1e-30) / pixel_mm**2
    return fine


def npw(signal: NDArray[np.float64], spectrum: NDArray[np.float64]) -> float:
    """Return d′ of the non-prewhitening observer, whose template is the signal.

    d′ = sᵀs / √(sᵀ K s) (ICRU report 87; AAPM TG-233, §3.2.5).

    Parameters
    ----------
    signal
        Mean difference between images with and without the signal, ``[N, N]`` HU.
    spectrum
        Of the noise, from :func:`pixel_spectrum`, ``[N, N]``.
    """
    energy = np.abs(np.fft.fft2(signal)) ** 2 / signal.size
    return float(energy.sum() / np.sqrt(max(float((energy * spectrum).sum()), 1e-30)))


def cho(signal: NDArray[np.float64], spectrum: NDArray[np.float64], *, internal_noise: float = INTERNAL_NOISE) -> float:
    """Return d′ of the channelised Hotelling observer with dense difference-of-Gaussian channels.

    d′² = Δvᵀ (K + a · diag K)⁻¹ Δv, where Δv is the signal in the channels, K their covariance in the noise of the
    image and a · diag K the observer's internal noise (Abbey & Barrett 2001; Brankov 2013).

    Parameters
    ----------
    signal, spectrum
        As for :func:`npw`; the signal is in the middle.
    internal_noise
        a.
    """
    channels = _channels(len(signal))
    centred = np.fft.fft2(np.fft.ifftshift(signal)).real
    difference = (channels * centred).sum(axis=(1, 2)) / signal.size
    covariance = np.einsum("iyx,jyx,yx->ij", channels, channels, spectrum) / signal.size
    total = covariance + internal_noise * np.diag(np.diag(covariance))
    return float(np.sqrt(max(float(difference @ np.linalg.solve(total, difference)), 0.0)))


def auc(d_prime: float) -> float:
    """Return the area under the ROC curve of an observer with this d′."""
    return float(norm.cdf(d_prime / np.sqrt(2)))


def _channels(size: int) -> NDArray[np.float64]:
    """Return the channels, ``[10, size, size]``, as real transfer functions."""
    axis = np.fft.fftfreq(size)
    radius = np.hypot(*np.meshgrid(axis, axis))
    widths: Sequence[float] = [_FIRST * _RATIO**i for i in range(_CHANNELS)]
    return np.stack([np.exp(-((radius / (_WIDER * w)) ** 2) / 2) - np.exp(-((radius / w) ** 2) / 2) for w in widths])
