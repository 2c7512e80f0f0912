"""Distortions that features of an encoder are compared under: noise, blur, JPEG compression, lower dose."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from ctdenoise.noise.lowdose import KERNELS, Scan, dose_noise
from ctdenoise.noise.synthetic import gaussian, poisson, salt_and_pepper, spatial_gaussian, speckle
from ctdenoise.transforms import ScaleHU

_SCALE = ScaleHU()
_SCAN = Scan(photons=1e6, kernel=KERNELS["smooth"])

Picture = NDArray[np.float32]
#: Maps an image, ``[H, W, C]`` in [0, 1], to the same; takes the random generator as ``rng``.
Distort = Callable[..., Picture]


def distortions(pixel_spacing_mm: float | None) -> dict[str, Distort]:
    """Return the distortions by name; a name is a kind and a level.

    Parameters
    ----------
    pixel_spacing_mm
        Of CT slices, for which lower doses are simulated too; None for photographs.
    """
    found: dict[str, Distort] = {
        **{f"Gaussian {level}": partial(gaussian, level=level) for level in (5, 15, 25, 50)},
        **{f"spatial Gaussian {level}": partial(spatial_gaussian, level=level) for level in (40, 55)},
        **{f"Poisson {level}": partial(poisson, level=level) for level in (2, 3.5)},
        "speckle 25": partial(speckle, level=25),
        "salt and pepper 2 %": partial(salt_and_pepper, level=0.02),
        **{f"blur {sigma} px": partial(_blur, sigma=sigma) for sigma in (1, 2)},
        **{f"JPEG {quality}": partial(_jpeg, quality=quality) for quality in (30, 10)},
    }
    if pixel_spacing_mm:
        found |= {
            f"{dose:.0%} dose": partial(_low_dose, pixel_spacing_mm=pixel_spacing_mm, dose=dose) for dose in (0.25, 0.1)
        }
    return found


def unit_range(image: Picture) -> Picture:
    """Return ``[H, W]`` HU as ``[H, W, 1]`` in [0, 1]; photographs as they are."""
    if image.ndim == 3:
        return image
    return np.asarray(_SCALE(image), np.float32)[..., None]


def _blur(image: Picture, rng: np.random.Generator, *, sigma: float) -> Picture:
    blurred: Picture = np.asarray(gaussian_filter(image, (sigma, sigma, 0)), np.float32)
    return blurred


def _jpeg(image: Picture, rng: np.random.Generator, *, quality: int) -> Picture:
    stored = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(stored[..., 0] if stored.shape[2] == 1 else stored).save(file, "JPEG", quality=quality)
    decoded: Picture = np.asarray(Image.open(file), np.float32).reshape(image.shape) / np.float32(255)
    return decoded


def _low_dose(image: Picture, rng: np.random.Generator, *, pixel_spacing_mm: float, dose: float) -> Picture:
    hu = np.asarray(_SCALE.inverse(image[..., 0]), np.float32)
    return unit_range(hu + dose_noise(hu, pixel_mm=pixel_spacing_mm, dose=dose, scan=_SCAN, rng=rng))
