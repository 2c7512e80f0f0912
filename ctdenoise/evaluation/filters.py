"""Classical denoising filters for comparison, each with several parameters to choose the best from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

Denoise = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def filter_candidates(noise: float) -> dict[str, list[Denoise]]:
    """Return Gaussian blur, total variation, non-local means and, where it is installed, BM3D, with several parameters.

    Parameters
    ----------
    noise
        Standard deviation of the noise. The filters take ``[H, W]`` or ``[H, W, C]`` in the same unit.
    """
    found: dict[str, list[Denoise]] = {
        "Gaussian blur": [partial(_blur, sigma=sigma) for sigma in (0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2)],
        "total variation": [partial(_total_variation, weight=k * noise) for k in (0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2)],
        "non-local means": [partial(_non_local_means, h=k * noise, sigma=noise) for k in (0.3, 0.5, 0.8, 1.2)],
    }
    if find_spec("bm3d"):
        found["BM3D"] = [partial(_bm3d, sigma=k * noise) for k in (0.7, 1.0, 1.5)]
    return found


def _blur(image: NDArray[np.float32], *, sigma: float) -> NDArray[np.float32]:
    """Blur by a Gaussian, whose standard deviation is in pixels."""
    smooth: NDArray[np.float32] = gaussian_filter(image, sigma, axes=(0, 1)).astype(np.float32)
    return smooth


def _total_variation(image: NDArray[np.float32], *, weight: float) -> NDArray[np.float32]:
    axis = 2 if image.ndim == 3 else None
    smooth: NDArray[np.float32] = denoise_tv_chambolle(image, weight=weight, channel_axis=axis).astype(np.float32)
    return smooth


def _non_local_means(image: NDArray[np.float32], *, h: float, sigma: float) -> NDArray[np.float32]:
    axis = 2 if image.ndim == 3 else None
    smooth: NDArray[np.float32] = denoise_nl_means(
        image, patch_size=5, patch_distance=6, h=h, sigma=sigma, channel_axis=axis
    ).astype(np.float32)
    return smooth


def _bm3d(image: NDArray[np.float32], *, sigma: float) -> NDArray[np.float32]:
    from bm3d import bm3d, bm3d_rgb

    smooth: NDArray[np.float32] = np.asarray((bm3d_rgb if image.ndim == 3 else bm3d)(image, sigma), np.float32)
    return smooth
