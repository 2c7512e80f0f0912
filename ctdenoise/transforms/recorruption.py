"""Training pairs made from noisy images alone (Recorrupted-to-Recorrupted, Pang et al., CVPR 2021)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, RandomizableTransform

from ctdenoise.noise.along_normal import next_but_one


class RandRecorruptedd(RandomizableTransform, MapTransform):
    """Make a training pair from a noisy image y and matched noise z: the input y + αz and the target y − z / α.

    If z has the covariance of the noise in y, the noise of input and target is uncorrelated, and a network learns from
    such pairs the same as from clean targets. The input has the noise of the image at the fraction d of its dose, with
    α² = 1 / d − 1. Further noise of any kind may be added to the input.

    Parameters
    ----------
    keys
        Noisy images, ``[C, H, W]``; they are replaced by the input. Several channels are a slice and its neighbours, C
        odd.
    noise_key
        Key of z, of the same shape and in the same units; it is removed. Its sign is drawn at random.
    label_key
        Key of the target, ``[1, H, W]``: that of the middle channel.
    correlation_key
        Key of the correlation of the noise of neighbouring slices, 0 to 0.7, which z of several channels is given; it
        is removed. Without it the noise of the channels is left independent.
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
        correlation_key: str = "noise_correlation",
        dose: tuple[float, float],
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob=1.0)
        if not 0 < dose[0] <= dose[1] < 1:
            raise ValueError(f"dose: expected 0 < lowest ≤ highest < 1, found {dose}")
        self.noise_key = noise_key
        self.label_key = label_key
        self.correlation_key = correlation_key
        self.dose = dose

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Replace the image by the input, and add the target."""
        result = dict(data)
        noise = result.pop(self.noise_key) * self.R.choice((-1.0, 1.0))
        correlation = result.pop(self.correlation_key, 0.0)
        if len(noise) > 1 and correlation:
            noise = _correlated(noise, correlation)
        middle = slice(len(noise) // 2, len(noise) // 2 + 1)
        alpha = float(np.sqrt(1 / np.exp(self.R.uniform(*np.log(self.dose))) - 1))
        for key in self.key_iterator(data):
            result[self.label_key] = data[key][middle] - noise[middle] / alpha
            result[key] = data[key] + noise * alpha
        return result


def _correlated(noise: NdarrayOrTensor, correlation: float) -> NdarrayOrTensor:
    """Mix channels of independent noise ``[N, H, W]`` so that neighbours correlate; the middle one keeps its noise."""
    count = len(noise)
    lags = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    covariance = np.select([lags == 0, lags == 1, lags == 2], [1.0, correlation, next_but_one(correlation)])
    # The middle channel first, so that Cholesky's triangle leaves it as it is.
    order = np.argsort(lags[count // 2], kind="stable")
    mix = np.empty_like(covariance)
    mix[np.ix_(order, order)] = np.linalg.cholesky(covariance[np.ix_(order, order)])
    if isinstance(noise, torch.Tensor):
        return torch.einsum("ij,jhw->ihw", torch.as_tensor(mix, dtype=noise.dtype), noise)
    return np.einsum("ij,jhw->ihw", mix, noise, dtype=noise.dtype, casting="same_kind")
