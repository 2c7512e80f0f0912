"""Conversion of Hounsfield units to the network's range [0, 1], and back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar, cast

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import get_track_meta
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import convert_to_tensor
from numpy.typing import NDArray

#: HU that the paper maps to 0 and 1: (HU + 1024) / 4096, the 4096 values of 12-bit scanners.
HU_RANGE = (-1024.0, 3072.0)

_Array = TypeVar("_Array", NDArray[np.float32], torch.Tensor)


def hu_to_unit(hu: _Array, hu_range: tuple[float, float]) -> _Array:
    """Map HU of any shape, float32, linearly so that `hu_range` becomes [0, 1]; nothing is clipped."""
    low, high = hu_range
    unit: _Array = (hu - low) / (high - low)
    return unit


def unit_to_hu(unit: _Array, hu_range: tuple[float, float]) -> _Array:
    """Map [0, 1] of any shape, float32, back to HU; the inverse of :func:`hu_to_unit`."""
    low, high = hu_range
    hu: _Array = unit * (high - low) + low
    return hu


class ScaleHU(InvertibleTransform):
    """Map HU linearly so that `hu_range` becomes [0, 1]; values outside the range are not clipped.

    The inverse is exact for integer HU if the width of the range is a power of two, as that of the default is;
    otherwise it is exact within float32 rounding.

    Parameters
    ----------
    hu_range
        HU that become 0 and 1.

    Raises
    ------
    ValueError
        If the first value is not below the second.
    """

    def __init__(self, hu_range: tuple[float, float] = HU_RANGE) -> None:
        low, high = hu_range
        if not low < high:
            raise ValueError(f"hu_range: expected lower < upper, found {hu_range}")
        self._hu_range = (low, high)

    def __call__(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Convert HU, of any shape, to [0, 1]; float32."""
        return hu_to_unit(_as_float32(img), self._hu_range)

    def inverse(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Convert [0, 1], of any shape, to HU; float32."""
        return unit_to_hu(_as_float32(img), self._hu_range)


def _as_float32(img: NdarrayOrTensor) -> torch.Tensor:
    """Return a tensor, as MONAI's intensity transforms do: a MetaTensor where metadata is tracked.

    A plain tensor has none and stays plain: a MetaTensor costs time in each operation.
    """
    if type(img) is torch.Tensor:
        return img.to(torch.float32)
    return cast("torch.Tensor", convert_to_tensor(img, dtype=torch.float32, track_meta=get_track_meta()))


class ScaleHUd(MapTransform, InvertibleTransform):
    """Dictionary form of :class:`ScaleHU`."""

    def __init__(
        self,
        keys: KeysCollection,
        hu_range: tuple[float, float] = HU_RANGE,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self._scale = ScaleHU(hu_range)

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Convert each key to [0, 1]."""
        return {**data, **{key: self._scale(data[key]) for key in self.key_iterator(data)}}

    def inverse(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Convert each key to HU."""
        return {**data, **{key: self._scale.inverse(data[key]) for key in self.key_iterator(data)}}
