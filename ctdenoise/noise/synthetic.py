"""Noise of photographs that the paper tests with, in the units of the image, [0, 1]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

Image = NDArray[np.float32]
#: The paper draws with NumPy's older generator.
Rng = np.random.Generator | np.random.RandomState


def gaussian(image: Image, level: float, rng: Rng) -> Image:
    """Add white noise of standard deviation `level` / 255 to ``[H, W, C]``; not clipped."""
    noisy: Image = (image + rng.normal(0, level / 255, image.shape)).astype(np.float32)
    return noisy


def spatial_gaussian(image: Image, level: float, rng: Rng) -> Image:
    """Add white noise of standard deviation `level` / 255, averaged over 3 × 3 pixels of each channel; not clipped."""
    noise = uniform_filter(rng.normal(0, level / 255, image.shape), (3, 3, 1), mode="wrap")
    noisy: Image = (image + noise).astype(np.float32)
    return noisy


def poisson(image: Image, level: float, rng: Rng) -> Image:
    """Count photons: the noise of BasicSR's generator times `level`; clipped to [0, 1].

    As many photons stand for white as the image has different values, rounded up to a power of two.
    """
    rounded = np.clip(np.round(image * 255), 0, 255) / 255
    photons = 2.0 ** np.ceil(np.log2(max(2, len(np.unique(rounded)))))
    noise = rng.poisson(rounded * photons) / photons - rounded
    noisy: Image = np.clip(image + level * noise, 0, 1).astype(np.float32)
    return noisy


def speckle(image: Image, level: float, rng: Rng) -> Image:
    """Multiply by white noise about 1 of standard deviation `level` / 255; clipped to [0, 1]."""
    noisy: Image = np.clip(image * (1 + rng.normal(0, level / 255, image.shape)), 0, 1).astype(np.float32)
    return noisy


def salt_and_pepper(image: Image, level: float, rng: Rng) -> Image:
    """Make a share `level` of the values black or white, either as likely."""
    drawn = rng.uniform(size=image.shape)
    noisy: Image = np.where(drawn < level / 2, 0, np.where(drawn < level, 1, image)).astype(np.float32)
    return noisy


#: By name.
NOISES = {
    "gaussian": gaussian,
    "spatial gaussian": spatial_gaussian,
    "poisson": poisson,
    "speckle": speckle,
    "salt and pepper": salt_and_pepper,
}
