"""Protocols: which metrics are computed in which windows, and how, by default and in publications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ctdenoise.evaluation.windows import WINDOWS, Window

#: Name of the protocol of an evaluation that follows no publication.
DEFAULT_PROTOCOL = "usual"


class ProtocolName(StrEnum):
    """Names of the published protocols."""

    REDCNN = "redcnn"
    LDCT_BENCHMARK = "ldct-benchmark"
    PAPER = "paper"


class SuiteName(StrEnum):
    """Names of the suites of data sets."""

    NATURAL_OOD = "natural-ood"


class Mask(StrEnum):
    """Pixels that metrics are computed over."""

    NONE = "none"
    BODY = "body"


class SsimVariant(StrEnum):
    """Definitions of SSIM that differ in window, padding and covariance.

    ``GAUSSIAN``: Gaussian window of σ 1.5 pixels and 11 × 11 pixels, only where it lies inside the image (Wang et al.
    2004). ``ZERO_PADDED``: the same window over the whole image with zeros outside, of HU without the lower end of the
    window subtracted. ``UNIFORM``: uniform window of 7 × 7 pixels with sample covariance.
    """

    GAUSSIAN = "gaussian"
    ZERO_PADDED = "zero-padded"
    UNIFORM = "uniform"


@dataclass(frozen=True)
class Measurement:
    """The metrics that are computed in one window.

    Attributes
    ----------
    window
        Values are clipped to it; its width is the data range.
    metrics
        Names in :data:`~ctdenoise.evaluation.metrics.METRICS`.
    ssim
        Definition of SSIM.
    scale
        Factor that (HU + 1024) is multiplied by before clipping.
    """

    window: Window
    metrics: tuple[str, ...]
    ssim: SsimVariant = SsimVariant.GAUSSIAN
    scale: float = 1.0

    @property
    def description(self) -> str:
        """Clipping, data range, definition of SSIM and scaling in words."""
        window = self.window
        text = f"clipped to [{window.low:g}, {window.high:g}], data range {window.width:g}"
        if "ssim" in self.metrics:
            text += f", SSIM {self.ssim}"
        return text + (f", HU + 1024 × {self.scale:.5f}" if self.scale != 1 else "")


_PSNR_SSIM = ("psnr", "ssim")
_PSNR_SSIM_RMSE = ("psnr", "ssim", "rmse")
#: Protocols of publications.
#:
#: ``redcnn``: ``measure.py`` of the PyTorch implementation of RED-CNN, used by most later work on low-dose CT.
#: ``ldct-benchmark``: Eulig et al. 2024; a window for each examination, VIF and RMSE up to 1900 HU. ``paper``: the code
#: of Transfer CLIP, which denormalises with 3096 what it normalised with 3072.
PROTOCOLS: Mapping[str, tuple[Measurement, ...]] = {
    ProtocolName.REDCNN: (Measurement(WINDOWS["soft-tissue"], _PSNR_SSIM_RMSE, SsimVariant.ZERO_PADDED),),
    ProtocolName.LDCT_BENCHMARK: (
        Measurement(Window("chest", -1350, 150), _PSNR_SSIM, SsimVariant.UNIFORM),
        Measurement(Window("abdomen", -150, 250), _PSNR_SSIM, SsimVariant.UNIFORM),
        Measurement(Window("neuro", 0, 80), _PSNR_SSIM, SsimVariant.UNIFORM),
        Measurement(Window("up to bone", -1024, 1900), ("vif", "rmse")),
    ),
    ProtocolName.PAPER: (Measurement(WINDOWS["full"], _PSNR_SSIM_RMSE, SsimVariant.ZERO_PADDED, scale=4120 / 4096),),
}
