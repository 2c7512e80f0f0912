"""Spatially correlated noise for networks trained on white noise: pixel-shuffle, used where the noise asks for it.

A network trained on white noise takes correlated noise for structure and keeps much of it. Every s-th pixel of the
image, in rows and columns, has noise that is nearly white: the image is split into its s × s sub-images, each is
denoised, and the pixels are put back (Zhou et al., *When AWGN-based Denoiser Meets Real Noises*, AAAI 2020). Noise that
is white already must not be treated so, because a sub-image shows the network less of the structure around a pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Network = Callable[[Tensor], Tensor]

#: Side of the windows in which noise is measured, in pixels.
_WINDOW = 8
#: Share of the windows that is used: those with the least structure.
_FLAT_SHARE = 0.5


def noise_autocorrelation(image: Tensor, denoised: Tensor) -> float:
    raise NotImplementedError


def denoise_sub_images(network: Network, image: Tensor, step: int) -> Tensor:
    """Denoise every `step`-th pixel of an image as an image of its own.

    Parameters
    ----------
    network
        Takes and returns ``[B, C, H, W]`` of any size.
    image
        ``[B, C, H, W]``.
    step
        1 is the image as a whole; otherwise ``step * step`` sub-images go through the network as one batch. Sizes that
        are no multiple of it are extended by repeating the last row and column.

    Returns
    -------
    Tensor
        As `image`. A network that returns its input gives exactly `image`.
    """
    if step == 1:
        return network(image)
    batch, channels, rows, columns = image.shape
    padded = F.pad(image, (0, -columns % step, 0, -rows % step), mode="replicate")
    height, width = padded.shape[-2] // step, padded.shape[-1] // step
    # [B, C, s*s, h, w] to [B*s*s, C, h, w]
    split = F.pixel_unshuffle(padded, step).reshape(batch, channels, step * step, height, width)
    sub_images = split.transpose(1, 2).reshape(-1, channels, height, width)
    clean = network(sub_images).reshape(batch, step * step, channels, height, width).transpose(1, 2)
    return F.pixel_shuffle(clean.reshape(batch, -1, height, width), step)[..., :rows, :columns]
