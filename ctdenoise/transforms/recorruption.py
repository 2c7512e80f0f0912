"""Training pairs made from noisy images alone (Recorrupted-to-Recorrupted, Pang et al., CVPR 2021)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, RandomizableTransform


class RandRecorruptedd(RandomizableTransform, MapTransform):
    """Make a training pair from a noisy image y and matched noise z: the input y + αz and the target y − z / α.

    If z has the covariance of the noise in y, the noise of input and target is uncorrelated, and a network learns from
    such pairs the same as from clean targets. The input has the noise of the image at the fraction d of its dose, with
    α² = 1 / d − 1. Further noise of any kind may be added to the input.

    Parameters
    ----------
    keys
        Noisy images, ``[C, H, W]``; they are replaced by the input.
    noise_key
        Key of z, of the same shape and in the same units; it is removed. Its sign is drawn at random.
    label_key
        Key of the target.
    dose
        Lowest and highest d, above 0 and below 1; drawn log-uniformly.

    Raises
    ------
    ValueError
        If the doses are out of range.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        noise_key: str = "noise",
        label_key: str = "label",
        dose: tuple[float, float],
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob=1.0)
        if not 0 < dose[0] <= dose[1] < 1:
            raise ValueError(f"dose: expected 0 < lowest ≤ highest < 1, found {dose}")
        self.noise_key = noise_key
        self.label_key = label_key
        self.dose = dose

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Replace the image by the input, and add the target."""
        result = dict(data)
        noise = result.pop(self.noise_key) * self.R.choice((-1.0, 1.0))
        alpha = float(np.sqrt(1 / np.exp(self.R.uniform(*np.log(self.dose))) - 1))
        for key in self.key_iterator(data):
            result[self.label_key] = data[key] - noise / alpha
            result[key] = data[key] + noise * alpha
        return result
