"""The definitions of the metrics, as functions of a test image and its reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import (
    mean_squared_error,
    normalized_root_mse,
    peak_signal_noise_ratio,
    structural_similarity,
)

from ctdenoise.evaluation.protocols import SsimVariant
from ctdenoise.evaluation.windows import UNIT_RANGE, Window

if TYPE_CHECKING:
    import torch

#: Least side, in pixels, that the four scales of VIF need.
_VIF_MINIMUM_SIDE = 41
_GAUSSIAN_SSIM: Mapping[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
#: Half of the 11 × 11 window of SSIM.
_SSIM_MARGIN = 5


@dataclass(frozen=True)
class ImagePair:
    """A test image and its reference, prepared for metrics.

    Attributes
    ----------
    reference, test
        ``[H, W]`` or ``[H, W, C]``, float64: clipped to the window, less its lower end. Outside the mask, `test`
        equals `reference`.
    window
        Its width is the data range.
    ssim
        Definition of SSIM.
    mask
        ``[H, W]``, or None for all pixels.
    """

    reference: NDArray[np.float64]
    test: NDArray[np.float64]
    window: Window
    ssim: SsimVariant = SsimVariant.GAUSSIAN
    mask: NDArray[np.bool_] | None = None

    @property
    def masked(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Reference and test inside the mask: ``[N]`` or ``[N, C]``, or whole images without a mask."""
        if self.mask is None:
            return self.reference, self.test
        return self.reference[self.mask], self.test[self.mask]

    def mean_inside(self, values: NDArray[np.floating]) -> float:
        """Return the mean of a map, ``[H, W]`` or ``[H, W, C]``, inside the mask."""
        return float(values.mean() if self.mask is None else values[self.mask].mean())


def psnr(pair: ImagePair) -> float:
    """Return the peak signal-to-noise ratio, dB; infinite for equal images."""
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(*pair.masked, data_range=pair.window.width))


def ssim(pair: ImagePair) -> float:
    """Return the structural similarity (Wang et al. 2004) as `pair.ssim` defines it."""
    a, b, width = pair.reference, pair.test, pair.window.width
    if pair.ssim is SsimVariant.ZERO_PADDED:
        margin = ((_SSIM_MARGIN, _SSIM_MARGIN),) * 2
        a, b = (np.pad(image + pair.window.low, margin) for image in (a, b))
        values = structural_similarity(a, b, data_range=width, full=True, **_GAUSSIAN_SSIM)[1]
        return pair.mean_inside(values[_SSIM_MARGIN:-_SSIM_MARGIN, _SSIM_MARGIN:-_SSIM_MARGIN])
    options: Mapping[str, Any] = {}
    if pair.ssim is SsimVariant.GAUSSIAN:
        options = _GAUSSIAN_SSIM
        # Single precision is three times as fast and agrees within 1e-6.
        a, b = a.astype(np.float32), b.astype(np.float32)
    axis = 2 if a.ndim == 3 else None
    mean, values = structural_similarity(a, b, data_range=width, channel_axis=axis, full=True, **options)
    return float(mean) if pair.mask is None else pair.mean_inside(values)


def rmse(pair: ImagePair) -> float:
    """Return the root-mean-square error, in the unit of the images."""
    return float(np.sqrt(mean_squared_error(*pair.masked)))


def mae(pair: ImagePair) -> float:
    """Return the mean absolute error, in the unit of the images."""
    reference, test = pair.masked
    return float(np.mean(np.abs(reference - test)))


def nrmse(pair: ImagePair) -> float:
    """Return the RMSE over the range of values of the reference; undefined for a constant reference."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(normalized_root_mse(*pair.masked, normalization="min-max"))


def vif(pair: ImagePair) -> float:
    """Return the visual information fidelity in the pixel domain (Sheikh and Bovik 2006); NaN for small images."""
    from torchmetrics.functional.image import visual_information_fidelity

    if min(pair.reference.shape[:2]) < _VIF_MINIMUM_SIDE:
        return float("nan")
    # sigma_n² = 2 is meant for values such as HU or 8 bits. Channels are averaged, as images of a batch are.
    scale = 255.0 if pair.window == UNIT_RANGE else 1.0
    # Double precision takes twenty times as long.
    reference, test = (_tensor(image * scale).float()[0][:, None] for image in (pair.reference, pair.test))
    return float(visual_information_fidelity(test, reference, sigma_n_sq=2.0))


def gmsd(pair: ImagePair) -> float:
    """Return the gradient magnitude similarity deviation (Xue et al. 2014), of whole blocks of 2 × 2 pixels."""
    import piq
    import torch
    from piq.functional import gradient_map, prewitt_filter, rgb2yiq, similarity_map

    even = tuple(slice(side // 2 * 2) for side in pair.reference.shape[:2])
    reference, test = (_tensor(image[even]) for image in (pair.reference, pair.test))
    if pair.mask is None:
        return float(piq.gmsd(test, reference, data_range=pair.window.width))
    # The same map, of which piq returns only the deviation over the whole image.
    scaled = [image / pair.window.width for image in (reference, test)]
    grey = [rgb2yiq(image)[:, :1] if image.shape[1] == 3 else image for image in scaled]
    prewitt = prewitt_filter(dtype=torch.float64)
    kernels = torch.stack([prewitt, prewitt.transpose(-1, -2)])
    gradients = [gradient_map(torch.nn.functional.avg_pool2d(image, 2), kernels) for image in grey]
    similarity = similarity_map(*gradients, constant=170 / 255**2)[0, 0].numpy()
    return float(similarity[pair.mask[even][::2, ::2]].std())


def lpips(pair: ImagePair) -> float:
    """Return the learned perceptual image patch similarity with AlexNet (Zhang et al. 2018)."""
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity

    reference, test = (
        _tensor(image / pair.window.width).float().expand(-1, 3, -1, -1) for image in (pair.reference, pair.test)
    )
    return float(learned_perceptual_image_patch_similarity(reference, test, net_type="alex", normalize=True))


def _tensor(image: NDArray[np.float64]) -> torch.Tensor:
    """Return ``[1, C, H, W]``, float64, of ``[H, W]`` or ``[H, W, C]``."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1)))[None]
