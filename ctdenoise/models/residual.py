"""What a network finds in an image, added to it so that no region's mean changes."""

from __future__ import annotations

import torch
from torch import Tensor


def add_difference(image: Tensor, difference: Tensor, side: int) -> Tensor:
    """Return ``image + difference`` less the difference's mean over squares of `side` pixels.

    Parameters
    ----------
    image, difference
        ``[B, C, H, W]``; an image of more channels gives its first.
    side
        An odd number of pixels; at the edges the mean is over what there is of the square.
    """
    # A mean over windows is a product with a band matrix: exact, as fast everywhere, and the same on a tile.
    with torch.autocast(image.device.type, enabled=False):
        rows, columns = (_band(difference, axis, side) for axis in (-2, -1))
        mean = rows @ difference @ columns.T
    return image[:, : difference.shape[1]] + difference - mean


def _band(image: Tensor, axis: int, side: int) -> Tensor:
    """``[N, N]`` that averages `side` neighbours along an axis of N pixels."""
    index = torch.arange(image.shape[axis], device=image.device)
    near = ((index[:, None] - index).abs() <= side // 2).to(image.dtype)
    return near / near.sum(dim=1, keepdim=True)
