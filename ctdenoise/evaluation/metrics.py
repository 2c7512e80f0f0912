"""Image fidelity in named HU windows, and by the protocols that publications use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, prewitt, uniform_filter
from skimage.metrics import structural_similarity


@dataclass(frozen=True)
class Window:
    """A range of values; those outside are clipped to it before anything is measured."""

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
        Window("bone", -450, 1050),
        Window("brain", 0, 80),
        Window("mediastinum", -125, 225),
    )
}
#: What is measured in where nobody says.
USUAL_WINDOWS = ("full", "soft-tissue", "lung")
#: Of photographs, which have no HU.
UNIT = Window("image", 0, 1)

#: Unit of each metric, and whether more is better.
METRICS: Mapping[str, tuple[str, bool]] = {
    "psnr": ("dB", True),
    "ssim": ("", True),
    "rmse": ("HU", False),
    "mae": ("HU", False),
    "nrmse": ("", False),
    "vif": ("", True),
    "gmsd": ("", False),
    "lpips": ("", False),
}
#: They take so long that some slices must do.
SLOW_METRICS = ("vif", "lpips")

_LUMA = np.array([0.299, 0.587, 0.114])
#: VIF has four scales and needs so many pixels a side.
_VIF_SIDE = 41

Ssim = Literal["gaussian", "zero-padded", "uniform"]


@dataclass(frozen=True)
class Row:
    """What a protocol measures in one window.

    Attributes
    ----------
    window
        Values are clipped to it; its width is the data range, and its lower end is taken off first.
    metrics
        Names in :data:`METRICS`.
    ssim
        ``"gaussian"``: σ 1.5, 11 × 11, where the window fits (Wang et al. 2004). ``"zero-padded"``: the same over the
        whole image with zeros about it, of HU as they are. ``"uniform"``: 7 × 7, sample covariance.
    stretch
        What (HU + 1024) is multiplied by beforehand.
    """

    window: Window
    metrics: tuple[str, ...]
    ssim: Ssim = "gaussian"
    stretch: float = 1.0

    @property
    def how(self) -> str:
        """Return window, range and clipping in words."""
        window = self.window
        text = f"clipped to [{window.low:g}, {window.high:g}], data range {window.width:g}"
        if "ssim" in self.metrics:
            text += f", SSIM {self.ssim}"
        return text + (f", HU + 1024 × {self.stretch:.5f}" if self.stretch != 1 else "")


_PAPER = ("psnr", "ssim", "rmse")
#: How publications measure.
#:
#: ``redcnn``: ``measure.py`` of RED-CNN's PyTorch implementation, which most low-dose work since has taken over.
#: ``ldct-benchmark``: Eulig et al. 2024; a window for each kind of exam, VIF and RMSE up to 1900 HU. ``paper``: the
#: code of Transfer CLIP, whose denormalisation takes 3096 where its normalisation took 3072.
PROTOCOLS: Mapping[str, tuple[Row, ...]] = {
    "redcnn": (Row(WINDOWS["soft-tissue"], _PAPER, "zero-padded"),),
    "ldct-benchmark": (
        Row(Window("chest", -1350, 150), ("psnr", "ssim"), "uniform"),
        Row(Window("abdomen", -150, 250), ("psnr", "ssim"), "uniform"),
        Row(Window("neuro", 0, 80), ("psnr", "ssim"), "uniform"),
        Row(Window("up to bone", -1024, 1900), ("vif", "rmse")),
    ),
    "paper": (Row(WINDOWS["full"], _PAPER, "zero-padded", stretch=4120 / 4096),),
}


def usual_rows(windows: Iterable[str] = USUAL_WINDOWS) -> tuple[Row, ...]:
    """Return every metric in these windows."""
    return tuple(Row(WINDOWS[name], _all_metrics()) for name in windows)


def photograph_rows() -> tuple[Row, ...]:
    """Return every metric of images in [0, 1]."""
    return (Row(UNIT, _all_metrics()),)


def measure(
    reference: NDArray[np.floating],
    test: NDArray[np.floating],
    row: Row,
    *,
    mask: NDArray[np.bool_] | None = None,
    slow: bool = True,
) -> dict[str, float]:
    """Compare an image with its reference.

    Parameters
    ----------
    reference, test
        ``[H, W]`` HU, or ``[H, W, C]`` in [0, 1].
    row
        What, and in which window.
    mask
        ``[H, W]``: PSNR, RMSE, MAE and NRMSE of these pixels, SSIM's and GMSD's maps averaged over them; VIF and LPIPS
        of the whole image with no difference elsewhere.
    slow
        Measure VIF and LPIPS too.

    Returns
    -------
    dict
        PSNR in dB (infinite for equal images); SSIM; RMSE and MAE in the images' unit; NRMSE relative to the
        reference's range of values; VIF (Sheikh and Bovik 2006, pixel domain); GMSD (Xue et al. 2014, of values scaled
        to 255); LPIPS (Zhang et al. 2018, AlexNet).
    """
    a, b = (_windowed(image, row) for image in (reference, test))
    if mask is not None:
        b = np.where(mask[..., None] if b.ndim == 3 else mask, b, a)
    inside = (a, b) if mask is None else (a[mask], b[mask])
    error = float(np.mean((inside[0] - inside[1]) ** 2))
    found: dict[str, float] = {}
    for metric in row.metrics:
        if metric == "psnr":
            found[metric] = float(10 * np.log10(row.window.width**2 / error)) if error else float("inf")
        elif metric == "rmse":
            found[metric] = float(np.sqrt(error))
        elif metric == "mae":
            found[metric] = float(np.mean(np.abs(inside[0] - inside[1])))
        elif metric == "nrmse":
            found[metric] = float(np.sqrt(error) / (np.ptp(inside[0]) or np.nan))
        elif metric == "ssim":
            found[metric] = _ssim(a, b, row, mask)
        elif metric == "gmsd":
            found[metric] = _gmsd(a, b, row.window.width, mask)
        elif metric == "vif" and slow:
            found[metric] = _vif(a, b, row.window.width if row.window is UNIT else None)
        elif metric == "lpips" and slow:
            found[metric] = _lpips(a / row.window.width, b / row.window.width)
    return found


def window_metrics(
    reference: Iterable[NDArray[np.float32]], test: Iterable[NDArray[np.float32]], window: Window
) -> dict[str, float]:
    """Return the means over slices of PSNR in dB, SSIM and RMSE in HU in a window; see :func:`measure`."""
    row = Row(window, ("psnr", "ssim", "rmse"))
    rows = [measure(one, other, row) for one, other in zip(reference, test, strict=True)]
    return {metric: float(np.mean([row[metric] for row in rows])) for metric in ("psnr", "ssim", "rmse")}


def _windowed(image: NDArray[np.floating], row: Row) -> NDArray[np.float64]:
    values = image.astype(np.float64)
    if row.stretch != 1:
        values = (values + 1024) * row.stretch - 1024
    clipped: NDArray[np.float64] = np.clip(values, row.window.low, row.window.high)
    return clipped if row.ssim == "zero-padded" else clipped - row.window.low


def _ssim(a: NDArray[np.float64], b: NDArray[np.float64], row: Row, mask: NDArray[np.bool_] | None) -> float:
    width = row.window.width
    if row.ssim == "zero-padded":
        values = _zero_padded_ssim(a, b, width)
        return float(values.mean() if mask is None else values[mask].mean())
    how = {} if row.ssim == "uniform" else {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    axis = 2 if a.ndim == 3 else None
    if row.ssim == "gaussian":  # three times as fast, and equal to 1e-6
        a, b = a.astype(np.float32), b.astype(np.float32)
    mean, values = structural_similarity(a, b, data_range=width, channel_axis=axis, full=True, **how)
    return float(mean if mask is None else values[mask].mean())


def _zero_padded_ssim(a: NDArray[np.float64], b: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    taps = np.exp(-(np.arange(-5.0, 6.0) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()

    def blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
        along = correlate1d(image, taps, axis=0, mode="constant")
        return np.asarray(correlate1d(along, taps, axis=1, mode="constant"))

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    both = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * width) ** 2, (0.03 * width) ** 2
    return ((2 * mean_a * mean_b + c1) * (2 * both + c2)) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))


def _gmsd(a: NDArray[np.float64], b: NDArray[np.float64], width: float, mask: NDArray[np.bool_] | None) -> float:
    """Gradient magnitude similarity deviation: Prewitt operator, c = 170, after averaging and halving."""

    def gradient(image: NDArray[np.float64]) -> NDArray[np.float64]:
        grey = image @ _LUMA if image.ndim == 3 else image
        half = uniform_filter(grey * (255 / width), 2, origin=-1)[even]
        return np.asarray(np.hypot(*(prewitt(half, axis, mode="constant") / 3 for axis in (0, 1))))

    even = tuple(slice(0, side // 2 * 2, 2) for side in a.shape[:2])

    one, other = gradient(a), gradient(b)
    similarity = (2 * one * other + 170) / (one**2 + other**2 + 170)
    if mask is not None:
        similarity = similarity[mask[even]]
    return float(similarity.std())


def _vif(a: NDArray[np.float64], b: NDArray[np.float64], width: float | None) -> float:
    import torch
    from torchmetrics.functional.image import visual_information_fidelity

    if min(a.shape[:2]) < _VIF_SIDE:
        return float("nan")
    # sigma_n² = 2 is meant for values like HU or 8 bits. Double precision takes twenty times as long.
    scale = 255 / width if width else 1.0
    tensors = [torch.from_numpy(np.atleast_3d(x * scale).astype(np.float32)).permute(2, 0, 1)[:, None] for x in (a, b)]
    return float(visual_information_fidelity(tensors[1], tensors[0], sigma_n_sq=2.0))


def lpips_weights() -> Path | None:
    """Return torchvision's AlexNet weights in torch's hub folder, or None where the user has none."""
    import torch

    found = sorted((Path(torch.hub.get_dir()) / "checkpoints").glob("alexnet-*.pth"))
    return found[0] if found else None


@cache
def _all_metrics() -> tuple[str, ...]:
    return tuple(metric for metric in METRICS if metric != "lpips" or lpips_weights())


def _lpips(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    import torch
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity

    colour = [np.broadcast_to(np.atleast_3d(x), (*x.shape[:2], 3)).astype(np.float32) for x in (a, b)]
    one, other = (torch.from_numpy(np.ascontiguousarray(x)).permute(2, 0, 1)[None] for x in colour)
    return float(learned_perceptual_image_patch_similarity(one, other, net_type="alex", normalize=True))
