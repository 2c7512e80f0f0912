"""The paper's synthetic noise for photographs. Images are ``[H, W, C]`` float32 in [0, 1]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

Image = NDArray[np.float32]
#: NumPy's generators; the paper's code uses the legacy RandomState.
Rng = np.random.Generator | np.random.RandomState


def gaussian(image: Image, level: float, rng: Rng) -> Image:
    """Add white Gaussian noise of standard deviation `level` / 255; the result is not clipped."""
    noisy: Image = (image + rng.normal(0, level / 255, image.shape)).astype(np.float32)
    return noisy


def spatial_gaussian(image: Image, level: float, rng: Rng) -> Image:
    """Add white Gaussian noise of standard deviation `level` / 255, averaged over 3 × 3 pixels; not clipped."""
    noise = uniform_filter(rng.normal(0, level / 255, image.shape), (3, 3, 1), mode="wrap")
    noisy: Image = (image + noise).astype(np.float32)
    return noisy


def poisson(image: Image, level: float, rng: Rng) -> Image:
    """Add the Poisson noise of BasicSR's generator, multiplied by `level`; clipped to [0, 1].

    The photon count of white is the number of different values in the image, rounded up to a power of two.
    """
    rounded = np.clip(np.round(image * 255), 0, 255) / 255
    photons = 2.0 ** np.ceil(np.log2(max(2, len(np.unique(rounded)))))
    noise = rng.poisson(rounded * photons) / photons - rounded
    noisy: Image = np.clip(image + level * noise, 0, 1).astype(np.float32)
    return noisy


def speckle(image: Image, level: float, rng: Rng) -> Image:
    """Multiply by white Gaussian noise of mean 1 and standard deviation `level` / 255; clipped to [0, 1]."""
    noisy: Image = np.clip(image * (1 + rng.normal(0, level / 255, image.shape)), 0, 1).astype(np.float32)
    return noisy


def salt_and_pepper(image: Image, level: float, rng: Rng) -> Image:
    """Set a fraction `level` of the values to 0 or 1 with equal probability."""
    drawn = rng.uniform(size=image.shape)
    noisy: Image = np.where(drawn < level / 2, 0, np.where(drawn < level, 1, image)).astype(np.float32)
    return noisy


#: Noise functions by name.
NOISES = {
    "gaussian": gaussian,
    "spatial gaussian": spatial_gaussian,
    "poisson": poisson,
    "speckle": speckle,
    "salt and pepper": salt_and_pepper,
}
