"""Hounsfield units to the [0, 1] images the network works on, and back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import InvertibleTransform, MapTransform, ScaleIntensityRange

#: The range of the paper's CT images: 4096 HU, of which 12-bit scanners use all (SURVEY: (HU + 1024) / 4096).
HU_RANGE = (-1024.0, 3072.0)


class ScaleHU(InvertibleTransform):
    """Map HU linearly so that `hu_range` becomes [0, 1]; values outside it go outside [0, 1], unclipped.

    The inverse is exact for whole HU over a range whose width is a power of two, as the default's is, and within
    float32 rounding for any other.

    Parameters
    ----------
    hu_range
        Lower and upper HU.

    Raises
    ------
    ValueError
        If the range is empty.
    """

    def __init__(self, hu_range: tuple[float, float] = HU_RANGE) -> None:
        low, high = hu_range
        if not low < high:
            raise ValueError(f"hu_range: expected lower < upper, found {hu_range}")
        self._forward = ScaleIntensityRange(a_min=low, a_max=high, b_min=0.0, b_max=1.0)
        self._inverse = ScaleIntensityRange(a_min=0.0, a_max=1.0, b_min=low, b_max=high)

    def __call__(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Turn HU of any shape into [0, 1], float32."""
        return self._forward(img)

    def inverse(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Turn [0, 1] of any shape into HU, float32."""
        return self._inverse(img)


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
        """Scale each key."""
        return {**data, **{key: self._scale(data[key]) for key in self.key_iterator(data)}}

    def inverse(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Scale each key back to HU."""
        return {**data, **{key: self._scale.inverse(data[key]) for key in self.key_iterator(data)}}
