"""Simulation of other reconstruction kernels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, RandomizableTransform


class RandKerneld(RandomizableTransform, MapTransform):
    """Make images and their noise softer or sharper, as another reconstruction kernel would.

    A reconstruction kernel multiplies the spatial frequencies of an image (Kak & Slaney 1988, §3.3); here by
    exp(b · (f / f_Nyquist)²), the same for all keys. The filter is periodic, so pixels near a border mix with those at
    the opposite border: apply it to a larger crop and cut off the borders afterwards.

    Parameters
    ----------
    keys
        Images, ``[C, H, W]``.
    prob
        Probability that an image is changed.
    sharpness
        Lowest and highest b, drawn uniformly; negative values make images softer.
    """

    def __init__(self, keys: KeysCollection, *, prob: float = 0.5, sharpness: tuple[float, float]) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob=prob)
        self.sharpness = sharpness

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """Filter each key with the same kernel."""
        result = dict(data)
        self.randomize(None)
        b = self.R.uniform(*self.sharpness)
        if self._do_transform:
            for key in self.key_iterator(data):
                image = torch.as_tensor(data[key], dtype=torch.float32)
                rows, columns = image.shape[-2:]
                squared = torch.fft.fftfreq(rows)[:, None] ** 2 + torch.fft.rfftfreq(columns) ** 2
                response = torch.exp(b * torch.clamp(4 * squared, max=1.0))
                result[key] = torch.fft.irfft2(torch.fft.rfft2(image) * response, s=(rows, columns))
        return result
