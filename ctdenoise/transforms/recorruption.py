"""Noisy images as teachers: noise that is like their own, added to the one copy and taken from the other."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, RandomizableTransform


class RandRecorruptedd(RandomizableTransform, MapTransform):
    """Make of a noisy image y, and of noise z like its own, the input y + αz and the target y − z / α.

    The noise of the two is independent, so that what a network learns from such pairs is what it would learn from
    clean targets (Pang et al., CVPR 2021, Recorrupted-to-Recorrupted: z has the covariance of the noise in y). The
    input is the image at a part d of its dose, α² = 1 / d − 1. More noise of any kind may be added to the input.

    Parameters
    ----------
    keys
        Noisy images, ``[C, H, W]``; they become the input.
    noise_key
        z, of the same shape and in the same units; left out of the result. Its sign is drawn.
    label_key
        Where the target goes.
    dose
        Lowest and highest d, above 0 and below 1; drawn log-uniformly.

    Raises
    ------
    ValueError
        If the doses are out of range.
    """

    def __init__(
        self, keys: KeysCollection, *, noise_key: str = "noise", label_key: str = "label", dose: tuple[float, float]
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob=1.0)
        if not 0 < dose[0] <= dose[1] < 1:
            raise ValueError(f"dose: expected 0 < lowest ≤ highest < 1, found {dose}")
        self.noise_key = noise_key
        self.label_key = label_key
        self.dose = dose

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Make input and target."""
        result = dict(data)
        noise = result.pop(self.noise_key) * self.R.choice((-1.0, 1.0))
        alpha = float(np.sqrt(1 / np.exp(self.R.uniform(*np.log(self.dose))) - 1))
        for key in self.key_iterator(data):
            result[self.label_key] = data[key] - noise / alpha
            result[key] = data[key] + noise * alpha
        return result
