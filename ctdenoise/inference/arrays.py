"""Arrays and tensors that users give, checked and returned as the same kind."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ArrayOrTensor = TypeVar("ArrayOrTensor", NDArray[np.floating], Tensor)
#: Matrices from this size on are expected to have more rows than a volume has slices; smaller ones tell nothing.
_SMALLEST_MATRIX = 128


def checked_volume(hu: object) -> NDArray[np.float32]:
    """Return HU as ``[H, W]`` or ``[D, H, W]`` float32.

    Raises
    ------
    ValueError
        If they are no array or tensor of real numbers, or have another shape.
    """
    if isinstance(hu, Tensor):
        hu = hu.detach().cpu().as_subclass(Tensor).numpy()
    if not isinstance(hu, np.ndarray) or hu.dtype.kind not in "fiu":
        kind = f"an array of {hu.dtype}" if isinstance(hu, np.ndarray) else type(hu).__name__
        raise ValueError(f"expected an array or a tensor of real numbers in HU, found {kind}")
    if hu.ndim not in (2, 3) or 0 in hu.shape:
        raise ValueError(f"expected HU of shape [H, W] or [D, H, W], found {list(hu.shape)}")
    if hu.ndim == 3 and hu.shape[0] == hu.shape[1] >= _SMALLEST_MATRIX and hu.shape[2] < hu.shape[0]:
        raise ValueError(
            f"expected HU of shape [D, H, W], found {list(hu.shape)}, which looks like [H, W, D]; "
            "give it as numpy.moveaxis(hu, -1, 0)"
        )
    return np.asarray(hu, np.float32)


def like_input(result: NDArray[np.float32], hu: ArrayOrTensor) -> ArrayOrTensor:
    """Return a result as the kind of array it was asked for."""
    if not isinstance(hu, Tensor):
        return result
    tensor = torch.from_numpy(result).to(hu.device)
    converted = hu.detach().clone().float()  # keeps the metadata and applied operations of a MetaTensor
    converted.copy_(tensor)
    return converted
