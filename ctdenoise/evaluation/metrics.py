"""Image fidelity in named HU windows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


@dataclass(frozen=True)
class Window:
    """A range of HU; values outside are clipped to it before anything is measured."""

    name: str
    low: float
    high: float

    @property
    def width(self) -> float:
        """Window width, the data range of PSNR and SSIM."""
        return self.high - self.low


WINDOWS = {
    window.name: window
    for window in (
        Window("full", -1024, 3072),
        Window("soft-tissue", -160, 240),
        Window("lung", -1350, 150),
    )
}


def window_metrics(
    reference: Iterable[NDArray[np.float32]], test: Iterable[NDArray[np.float32]], window: Window
) -> dict[str, float]:
    """Compare a series with its reference in a window, slice by slice.

    Parameters
    ----------
    reference, test
        ``[H, W]`` HU each.
    window
        Both are clipped to it.

    Returns
    -------
    dict
        Means over slices: ``psnr`` in dB and ``ssim`` (Wang et al. 2004: Gaussian window, σ 1.5) with the window
        width as data range, ``rmse`` in HU.
    """
    rows = []
    for one, other in zip(reference, test, strict=True):
        a = np.clip(one, window.low, window.high).astype(np.float64)
        b = np.clip(other, window.low, window.high).astype(np.float64)
        rows.append(
            (
                peak_signal_noise_ratio(a, b, data_range=window.width),
                structural_similarity(
                    a,
                    b,
                    data_range=window.width,
                    gaussian_weights=True,
                    sigma=1.5,
                    use_sample_covariance=False,
                ),
                np.sqrt(np.mean((a - b) ** 2)),
            )
        )
    psnr, ssim, rmse = np.mean(rows, axis=0)
    return {"psnr": float(psnr), "ssim": float(ssim), "rmse": float(rmse)}
