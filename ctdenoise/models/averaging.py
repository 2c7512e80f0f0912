"""Averaging a denoised slice with its denoised neighbours, where these show the same anatomy."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Standard deviations of the Gaussians through which slices are compared, in pixels of half resolution; 0 is none.
_SCALES = (0.0, 1.0, 2.0)
#: Variance added to that of the noise at each scale, HU², so that slices without noise can be compared.
_LEAST_VARIANCE = (4.0, 1.0, 1.0)
#: Standard deviation of the Gaussian over which the variance of the noise is averaged, pixels of half resolution.
_NOISE_SCALE = 6.0
#: HU that the noise is divided by for the network.
_NOISE_UNIT_HU = 20.0
#: Output of the untrained network; it gives each neighbour about a fifth of the weight.
_FIRST_LOGIT = -1.0


class NeighbourAveraging(nn.Module):
    """Weights for the neighbours of a slice, pixel by pixel.

    Each neighbour is compared with the slice at three scales: the difference of the noisy images, and that of the
    denoised ones, relative to the standard deviation that such a difference would have from the removed noise alone. A
    network of three layers makes a weight from this; it sees neither HU nor anatomy. The result is a weighted mean of
    the denoised slice and its denoised neighbours: it lies between their values, and where the neighbours equal the
    slice, so does the result.

    Parameters
    ----------
    width
        Channels of the hidden layers.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * len(_SCALES) + 1, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )
        nn.init.constant_(self.layers[-1].bias, _FIRST_LOGIT)  # type: ignore[arg-type]

    def forward(self, noisy: Tensor, denoised: Tensor) -> Tensor:
        """Average denoised slices with their neighbours.

        Parameters
        ----------
        noisy, denoised
            ``[B, N, H, W]`` HU, N odd: slices in the middle, and their neighbours in order along the normal.

        Returns
        -------
        Tensor
            ``[B, H, W]`` HU.
        """
        centre = noisy.shape[1] // 2
        itself, others = denoised[:, centre : centre + 1], _without(denoised, centre)
        result: Tensor = (itself + (self.weights(noisy, denoised) * (others - itself)).sum(1, keepdim=True))[:, 0]
        return result

    def weights(self, noisy: Tensor, denoised: Tensor) -> Tensor:
        """Return the weight of each neighbour, ``[B, N - 1, H, W]``; the slice itself has the rest of 1."""
        rows, columns = noisy.shape[-2:]
        logits = self.layers(torch.log1p(_compared(_halved(noisy), _halved(denoised))))[..., 0]
        shares = torch.cat([torch.zeros_like(logits[:, :1]), logits], 1).softmax(1)[:, 1:]
        large = F.interpolate(shares, scale_factor=2, mode="bilinear", align_corners=False)
        return large[..., :rows, :columns]


def _compared(noisy: Tensor, denoised: Tensor) -> Tensor:
    """Return ``[B, N - 1, h, w, features]``: differences over the noise at each scale, and the noise."""
    centre = noisy.shape[1] // 2
    features: list[Tensor] = []
    for scale, least in zip(_SCALES, _LEAST_VARIANCE, strict=True):
        images = [_smoothed(image, scale) for image in (noisy, denoised)]
        variance = _smoothed((images[0] - images[1]) ** 2, _NOISE_SCALE)
        std = (_without(variance, centre) + variance[:, centre : centre + 1] + least).sqrt()
        features += [(_without(one, centre) - one[:, centre : centre + 1]).abs() / std for one in images]
        if not scale:
            noise = std / _NOISE_UNIT_HU
    return torch.stack([*features, noise], -1)


def _without(images: Tensor, index: int) -> Tensor:
    return torch.cat([images[:, :index], images[:, index + 1 :]], 1)


def _halved(images: Tensor) -> Tensor:
    """Return means of 2 × 2 pixels; an odd last row or column is repeated."""
    rows, columns = images.shape[-2:]
    even = F.pad(images, (0, columns % 2, 0, rows % 2), mode="replicate")
    return F.avg_pool2d(even, 2)


def _smoothed(images: Tensor, std: float) -> Tensor:
    """Return ``[B, N, h, w]`` through a Gaussian, edges repeated."""
    if not std:
        return images
    rows, columns = (_gaussian(length, std).to(images) for length in images.shape[-2:])
    return rows @ images @ columns.T


@lru_cache
def _gaussian(length: int, std: float) -> Tensor:
    """Return the matrix ``[length, length]`` that smooths a row."""
    with torch.inference_mode(False):  # the matrix is kept, and training may use it too
        return _gaussian_matrix(length, std)


def _gaussian_matrix(length: int, std: float) -> Tensor:
    reach = round(3 * std)
    kernel = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * std**2))
    matrix = torch.zeros(length, length)
    for row in range(length):
        columns = torch.arange(row - reach, row + reach + 1).clamp(0, length - 1)
        matrix[row].index_add_(0, columns, kernel / kernel.sum())
    return matrix
