"""Neighbouring slices as channels in training, where some slices have none."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, RandomizableTransform


class RandNeighboursd(RandomizableTransform, MapTransform):
    """Put the slice itself in place of its neighbours, always where there are none, and of others at random.

    Half of the time the order of the channels is reversed, as series may run either way.

    A network trained so serves series of thick slices, whose neighbours show other anatomy, the ends of series, and
    single slices. Noise is to be added before: the slice itself brings no second realisation of the noise.

    Parameters
    ----------
    keys
        Slices with their neighbours, ``[N, H, W]``, N odd; the middle channel is the slice itself.
    prob
        Probability that all neighbours are dropped.
    side_prob
        Probability that those on one side are dropped otherwise, as at the ends of a series.
    missing_key
        Key of a list of the channels that have no neighbour of their own; it is removed.
    """

    def __init__(self, keys: KeysCollection, *, prob: float, side_prob: float, missing_key: str = "missing") -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob=1.0)
        self.drop_all, self.drop_side = prob, side_prob
        self.missing_key = missing_key

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Replace the dropped channels of each key, of all keys alike."""
        result = dict(data)
        missing = result.pop(self.missing_key, ())
        drop_all = self.R.uniform() < self.drop_all
        drop_side, reverse = self.R.uniform() < self.drop_side, self.R.uniform() < 0.5
        for key in self.key_iterator(data):
            image = torch.as_tensor(data[key])
            middle = len(image) // 2
            dropped = range(len(image) if drop_all else middle if drop_side else 0)
            channels = [middle if index in missing or index in dropped else index for index in range(len(image))]
            result[key] = image[channels[::-1] if reverse else channels]
        return result
