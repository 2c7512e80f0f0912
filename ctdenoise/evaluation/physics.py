"""What CT physicists measure: tissue means, contrast, detectability, and what the removed noise looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, binary_fill_holes, gaussian_gradient_magnitude, label
from scipy.ndimage import gaussian_filter as blur

from ctdenoise.noise.measure import LEFT_OF_WHITE, SIDE, Noise

Image = NDArray[np.floating]

#: Ranges of HU that tissues are told by.
TISSUES = {
    "lung": (-950.0, -600.0),
    "fat": (-140.0, -60.0),
    "soft tissue": (0.0, 120.0),
    "bone": (250.0, 1500.0),
}
#: Fewest pixels of a tissue to speak of.
_FEWEST = 100
#: What d′ is told for: diameter in mm and contrast in HU of a disc.
TASK = (5.0, 10.0)


def body_mask(hu: Image) -> NDArray[np.bool_]:
    """Return the body: the largest connected region above −500 HU (smoothed by one pixel), with what it encloses.

    Parameters
    ----------
    hu
        ``[H, W]`` HU.
    """
    parts, count = label(blur(np.asarray(hu, np.float32), 1.0) > -500)
    if count == 0:
        return np.zeros(hu.shape, bool)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    filled: NDArray[np.bool_] = binary_fill_holes(parts == sizes.argmax())
    return filled


def tissue_masks(hu: Image) -> dict[str, NDArray[np.bool_]]:
    """Tell tissues by HU after smoothing (σ 1.5 pixels), away from their edges and inside the body.

    Parameters
    ----------
    hu
        ``[H, W]`` HU; the reference, where there is one.
    """
    smooth, body = blur(np.asarray(hu, np.float32), 1.5), body_mask(hu)
    return {
        name: binary_erosion((smooth > low) & (smooth < high) & body, iterations=2)
        for name, (low, high) in TISSUES.items()
    }


@dataclass
class TissueMeans:
    """Mean HU of tissues in images and the references they belong to, slice by slice."""

    def __post_init__(self) -> None:
        self._sums = {name: np.zeros(4) for name in TISSUES}

    def add(self, masks: dict[str, NDArray[np.bool_]], reference: Image, image: Image) -> None:
        """Add a slice."""
        for name, mask in masks.items():
            a, b = reference[mask].astype(np.float64), image[mask].astype(np.float64)
            self._sums[name] += (mask.sum(), a.sum(), b.sum(), (b**2).sum())

    def table(self) -> dict[str, dict[str, float]]:
        """Return pixels, mean HU, standard deviation and bias (mean less the reference's) of each tissue there is."""
        found = {}
        for name, (count, reference, total, squares) in self._sums.items():
            if count >= _FEWEST:
                mean = float(total / count)
                found[name] = {
                    "pixels": int(count),
                    "mean_hu": mean,
                    "sd_hu": float(np.sqrt(max(squares / count - mean**2, 0))),
                    "bias_hu": mean - float(reference / count),
                }
        return found


def insert_contrast(images: Sequence[Image], centre: tuple[float, float], radius: float) -> dict[str, float]:
    """Measure contrast and CNR of a circular insert: inside 0.7 radii against a ring from 1.4 to 1.8.

    Parameters
    ----------
    images
        ``[H, W]`` HU each.
    centre, radius
        Row and column, and radius, in pixels.

    Returns
    -------
    dict
        ``contrast_hu``; ``cnr``: contrast over the standard deviation in the ring, which is that of single pixels.
    """
    inside, ring = [], []
    for image in images:
        rows, columns = np.indices(image.shape)
        distance = np.hypot(rows - centre[0], columns - centre[1]) / radius
        inside.append(image[distance < 0.7])
        ring.append(image[(distance > 1.4) & (distance < 1.8)])
    contrast = float(np.mean(np.concatenate(inside)) - np.mean(np.concatenate(ring)))
    noise = float(np.mean([np.std(values) for values in ring]))
    return {"contrast_hu": contrast, "cnr": contrast / noise if noise else float("inf")}


def detectability(
    noise: Noise,
    pixel_mm: float,
    *,
    ttf: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    task: tuple[float, float] = TASK,
) -> float:
    """Return d′ of a non-prewhitening observer for a disc in a uniform background.

    d′² = (∬ |W·TTF|² df)² / ∬ |W·TTF|²·NPS df (AAPM TG-233, §3.2.5; ICRU report 87), W being the Fourier transform of
    the disc. What detrending took of the lowest frequencies is put back, as much as of white noise.

    Parameters
    ----------
    noise
        In uniform regions.
    pixel_mm
        Pixel spacing.
    ttf
        Frequency, cycles per mm, and task transfer function; 1 everywhere if not given.
    task
        Diameter, mm, and contrast, HU.
    """
    diameter, contrast = task
    # A whole number of periods of the disc's image, in finer bins than the spectrum has.
    size = 4 * SIDE
    axis = np.fft.fftfreq(size, pixel_mm)
    frequency = np.hypot(*np.meshgrid(axis, axis))
    y, x = (offset * pixel_mm for offset in np.mgrid[:size, :size] - size // 2)
    disc = (np.hypot(y, x) <= diameter / 2).astype(float)
    # Pixels approximate the disc; its energy is exact.
    disc *= np.sqrt(np.pi * diameter**2 / 4 / (disc.sum() * pixel_mm**2))
    seen = np.abs(np.fft.fft2(disc) * contrast * pixel_mm**2) ** 2
    if ttf is not None:
        seen *= np.interp(frequency, ttf[0], ttf[1], right=float(ttf[1][-1])) ** 2
    power = np.interp(frequency, noise.frequency, _whole(noise))
    bin_area = 1 / (size * pixel_mm) ** 2
    denominator = (seen * power).sum() * bin_area
    return float(seen.sum() * bin_area / np.sqrt(denominator)) if denominator else float("inf")


def _whole(noise: Noise) -> NDArray[np.float64]:
    """Radial spectrum without the loss by detrending; at 0 on the line through the next two."""
    power = noise.power[1:] / LEFT_OF_WHITE[1:]
    return np.concatenate(([max(2 * power[0] - power[1], 0.0)], power))


@dataclass(frozen=True)
class Residual:
    """What was taken away from an image.

    Attributes
    ----------
    std
        Inside the body, HU.
    edges
        Pearson's correlation of its magnitude with the magnitude of the anatomy's gradient, in soft tissue. Noise alone
        gives about 0; edges taken along give more, noise left at edges gives less.
    structure
        Pearson's correlation with the anatomy less its local mean. Noise alone gives about 0; contrast that was lost
        gives more.
    """

    std: float
    edges: float
    structure: float


def residual(noisy: Sequence[Image], denoised: Sequence[Image], anatomy: Sequence[Image]) -> Residual:
    """Look for anatomy in the removed noise.

    Parameters
    ----------
    noisy, denoised
        ``[H, W]`` HU each.
    anatomy
        What to look for, smoothed by two pixels first: the reference, or without one what was denoised.
    """
    removed, gradients, magnitudes, details, parts = [], [], [], [], []
    for before, after, there in zip(noisy, denoised, anatomy, strict=True):
        difference = np.asarray(before - after, np.float64)
        clipped = np.clip(np.asarray(there, np.float64), -160, 240)
        smooth = blur(clipped, 2.0)
        body = binary_erosion(body_mask(there), iterations=5)
        soft = body & (np.abs(smooth - 40) < 150)
        removed.append(difference[body])
        gradients.append(gaussian_gradient_magnitude(clipped, 2.0)[soft])
        magnitudes.append(blur(np.abs(difference), 2.0)[soft])
        details.append((smooth - blur(clipped, 6.0))[soft])
        parts.append(difference[soft])
    return Residual(
        std=float(np.std(np.concatenate(removed))),
        edges=_pearson(np.concatenate(magnitudes), np.concatenate(gradients)),
        structure=_pearson(np.concatenate(parts), np.concatenate(details)),
    )


def _pearson(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if a.size < _FEWEST or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
