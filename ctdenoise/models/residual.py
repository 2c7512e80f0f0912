"""Residual connection that preserves local means."""

from __future__ import annotations

import torch
from torch import Tensor


def add_difference(image: Tensor, difference: Tensor, side: int) -> Tensor:
    """Return ``image + difference - mean``, where ``mean`` is the moving average of the difference.

    Subtracting the moving average keeps the mean HU of regions larger than the window.

    Parameters
    ----------
    image, difference
        ``[B, C, H, W]``; if the image has more channels than the difference, its first channels are used.
    side
        Side of the square averaging window in pixels, odd. At the edges only the pixels inside the image are averaged.

    Returns
    -------
    Tensor
        ``[B, C, H, W]``, as many channels as `difference`.
    """
    # A moving average is a product with a band matrix. Unlike a cumulative sum it is exact in float32, and unlike
    # pooling it is equally fast in every engine; a tile gives the same values as the whole image.
    with torch.autocast(image.device.type, enabled=False):
        rows, columns = (_band(difference, axis, side) for axis in (-2, -1))
        mean = rows @ difference @ columns.T
    return image[:, : difference.shape[1]] + difference - mean


def _band(image: Tensor, axis: int, side: int) -> Tensor:
    """Return the ``[N, N]`` matrix of a moving average over `side` pixels along an axis of N pixels."""
    index = torch.arange(image.shape[axis], device=image.device)
    near = ((index[:, None] - index).abs() <= side // 2).to(image.dtype)
    return near / near.sum(dim=1, keepdim=True)
