"""Pictures of results in radiological windows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ctdenoise.evaluation.metrics import Window

#: HU shown as black and white where the removed noise is drawn.
RESIDUAL_HU = 100.0


def comparison_figure(
    noisy: NDArray[np.float32],
    denoised: NDArray[np.float32],
    truth: NDArray[np.float32],
    *,
    windows: Sequence[Window],
    path: Path,
) -> None:
    """Draw noisy | denoised | truth | removed noise, a row for each window, as a PNG.

    Parameters
    ----------
    noisy, denoised, truth
        ``[H, W]`` HU.
    windows
        How the first three are shown; removed noise is shown over ±100 HU.
    path
        Where the PNG goes.
    """
    rows, columns = noisy.shape
    height = 4 * rows / columns + 0.25
    figure = Figure(figsize=(16, height * len(windows)), layout="constrained", facecolor="white")
    axes = figure.subplots(len(windows), 4, squeeze=False)
    for row, window in zip(axes, windows, strict=True):
        for axis, title, image in zip(row, ("noisy", "denoised", "truth"), (noisy, denoised, truth), strict=False):
            axis.imshow(image, cmap="gray", vmin=window.low, vmax=window.high, interpolation="lanczos")
            axis.set_title(title)
        row[3].imshow(noisy - denoised, cmap="gray", vmin=-RESIDUAL_HU, vmax=RESIDUAL_HU)
        row[3].set_title(f"removed noise (±{RESIDUAL_HU:g} HU)")
        row[0].set_ylabel(f"{window.name} [{window.low:g}, {window.high:g}] HU")
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
    figure.savefig(path, dpi=100)
