"""What a denoiser removed from an image: its strength, and whether it correlates with the anatomy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, gaussian_filter, gaussian_gradient_magnitude

from ctdenoise.evaluation.physics_document import RemovedNoise
from ctdenoise.evaluation.tissues import FEWEST_PIXELS, body_mask


def removed_noise(
    noisy: Sequence[NDArray[np.floating]],
    denoised: Sequence[NDArray[np.floating]],
    anatomy: Sequence[NDArray[np.floating]],
) -> RemovedNoise:
    """Correlate what was removed with the anatomy.

    Parameters
    ----------
    noisy, denoised
        ``[H, W]`` HU each.
    anatomy
        ``[H, W]`` HU each, smoothed here by a Gaussian of 2 pixels: the reference, or the denoised images without one.
    """
    removed, soft_tissue, magnitudes, gradients, structure = [], [], [], [], []
    for before, after, image in zip(noisy, denoised, anatomy, strict=True):
        difference = np.asarray(before - after, np.float64)
        clipped = np.clip(np.asarray(image, np.float64), -160, 240)
        smooth = gaussian_filter(clipped, 2.0)
        body = binary_erosion(body_mask(image), iterations=5)
        soft = body & (np.abs(smooth - 40) < 150)
        removed.append(difference[body])
        soft_tissue.append(difference[soft])
        magnitudes.append(gaussian_filter(np.abs(difference), 2.0)[soft])
        gradients.append(gaussian_gradient_magnitude(clipped, 2.0)[soft])
        structure.append((smooth - gaussian_filter(clipped, 6.0))[soft])
    return RemovedNoise(
        std=float(np.std(np.concatenate(removed))),
        edges=_pearson(np.concatenate(magnitudes), np.concatenate(gradients)),
        structure=_pearson(np.concatenate(soft_tissue), np.concatenate(structure)),
    )


def _pearson(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if a.size < FEWEST_PIXELS or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
