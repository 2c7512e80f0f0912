"""Full-reference metrics: each one an object of a registry, computed in an HU window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctdenoise.evaluation import metric_functions as functions
from ctdenoise.evaluation.metric_functions import ImagePair
from ctdenoise.evaluation.protocols import Measurement
from ctdenoise.evaluation.windows import DEFAULT_WINDOWS, UNIT_RANGE, WINDOWS, Window


def lpips_weights() -> Path | None:
    """Return the AlexNet weights of torchvision in the hub folder of torch, or None if they are not there."""
    import torch

    files = sorted((Path(torch.hub.get_dir()) / "checkpoints").glob("alexnet-*.pth"))
    return files[0] if files else None


@dataclass(frozen=True)
class Metric:
    """A metric of a test image against its reference.

    Attributes
    ----------
    name
        Name in results and on the command line.
    unit
        ``"HU"``, ``"dB"``, or ``""`` for a number without unit. Photographs have no HU.
    higher_is_better
        Whether a higher value means a better image.
    compute
        Takes the two images and returns the value, which may be infinite or NaN.
    slow
        Whether it takes so long that an evaluation without a protocol computes it for some slices only.
    available
        Whether what it needs is installed.
    """

    name: str
    unit: str
    higher_is_better: bool
    compute: Callable[[ImagePair], float]
    slow: bool = False
    available: Callable[[], object] = lambda: True

    def unit_of(self, *, photograph: bool) -> str:
        """Return the unit for photographs or for CT."""
        return "" if photograph and self.unit == "HU" else self.unit


#: All metrics, by name.
METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("psnr", "dB", True, functions.psnr),
        Metric("ssim", "", True, functions.ssim),
        Metric("rmse", "HU", False, functions.rmse),
        Metric("mae", "HU", False, functions.mae),
        Metric("nrmse", "", False, functions.nrmse),
        Metric("vif", "", True, functions.vif, slow=True),
        Metric("gmsd", "", False, functions.gmsd),
        Metric("lpips", "", False, functions.lpips, slow=True, available=lpips_weights),
    )
}


@cache
def _available_metrics() -> tuple[str, ...]:
    return tuple(metric.name for metric in METRICS.values() if metric.available())


def default_measurements(windows: Iterable[str] = DEFAULT_WINDOWS) -> tuple[Measurement, ...]:
    """Return every available metric in each of these windows, by their names in :data:`WINDOWS`."""
    return tuple(Measurement(WINDOWS[name], _available_metrics()) for name in windows)


def photograph_measurements() -> tuple[Measurement, ...]:
    """Return every available metric of images in [0, 1]."""
    return (Measurement(UNIT_RANGE, _available_metrics()),)


def measure(
    reference: NDArray[np.floating],
    test: NDArray[np.floating],
    measurement: Measurement,
    *,
    mask: NDArray[np.bool_] | None = None,
    slow: bool = True,
) -> dict[str, float]:
    """Compare an image with its reference.

    Parameters
    ----------
    reference, test
        ``[H, W]`` HU, or ``[H, W, C]`` in [0, 1].
    measurement
        Window and metrics.
    mask
        ``[H, W]``: PSNR, RMSE, MAE and NRMSE are of these pixels, the maps of SSIM and GMSD are restricted to them; VIF
        and LPIPS are of the whole image, with no difference elsewhere.
    slow
        Whether to compute slow metrics too.

    Returns
    -------
    dict
        Value of each metric, by name.
    """
    a, b = (_windowed(image, measurement) for image in (reference, test))
    if mask is not None:
        b = np.where(mask[..., None] if b.ndim == 3 else mask, b, a)
    pair = ImagePair(a, b, measurement.window, measurement.ssim, mask)
    chosen = (METRICS[name] for name in measurement.metrics)
    return {metric.name: metric.compute(pair) for metric in chosen if slow or not metric.slow}


def window_metrics(
    reference: Iterable[NDArray[np.float32]], test: Iterable[NDArray[np.float32]], window: Window
) -> dict[str, float]:
    """Return the means over slices of PSNR in dB, SSIM and RMSE in HU in a window; see :func:`measure`."""
    measurement = Measurement(window, ("psnr", "ssim", "rmse"))
    values = [measure(one, other, measurement) for one, other in zip(reference, test, strict=True)]
    return {metric: float(np.mean([value[metric] for value in values])) for metric in measurement.metrics}


def _windowed(image: NDArray[np.floating], measurement: Measurement) -> NDArray[np.float64]:
    values = image.astype(np.float64)
    if measurement.scale != 1:
        values = (values + 1024) * measurement.scale - 1024
    window = measurement.window
    clipped: NDArray[np.float64] = np.clip(values - window.low, 0, window.width)
    return clipped
