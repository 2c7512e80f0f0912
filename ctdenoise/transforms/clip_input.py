"""Conversion of one grey channel to the three input channels of CLIP's image encoder, and back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import InvertibleTransform, MapTransform, RepeatChannel


class ToClipInput(InvertibleTransform):
    """Repeat the channel of ``[1, H, W]`` to ``[3, H, W]``, without CLIP's mean/std normalisation (paper §3.1).

    Raises
    ------
    ValueError
        If there is not exactly one channel.
    """

    def __init__(self) -> None:
        self._repeat = RepeatChannel(repeats=3)

    def __call__(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Repeat the channel of ``[1, H, W]``; return ``[3, H, W]``."""
        if img.shape[0] != 1:
            raise ValueError(f"ToClipInput: expected one channel, [1, H, W], found shape {tuple(img.shape)}")
        return self._repeat(img)

    def inverse(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        """Return the first channel, ``[1, H, W]``, which equals the repeated channel exactly."""
        return img[:1]


class ToClipInputd(MapTransform, InvertibleTransform):
    """Dictionary form of :class:`ToClipInput`."""

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self._to_clip = ToClipInput()

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Repeat the channel of each key."""
        return {**data, **{key: self._to_clip(data[key]) for key in self.key_iterator(data)}}

    def inverse(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Return the first channel of each key."""
        return {**data, **{key: self._to_clip.inverse(data[key]) for key in self.key_iterator(data)}}
