"""The MONAI inferer of the bundles' ``inference.json``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor

from ctdenoise.inference.correlation import denoise_correlated_noise
from ctdenoise.models.denoiser import apply_to_any_size


class SliceInferer(Inferer):
    """Apply a network to whole slices of any height and width, a few at a time.

    Parameters
    ----------
    batch_size
        Slices at once.
    correlated_noise
        Denoise images whose noise is spatially correlated as sub-images, see
        :func:`~ctdenoise.inference.correlation.denoise_correlated_noise`.
    """

    def __init__(self, batch_size: int = 1, *, correlated_noise: bool = False) -> None:
        self.batch_size = 1 if correlated_noise else batch_size
        self.correlated_noise = correlated_noise

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Denoise ``[B, C, H, W]``, or the slices of ``[B, C, H, W, D]``."""
        plain = inputs.as_subclass(Tensor)  # MONAI's MetaTensor costs time in each layer
        slices = plain if plain.ndim == 4 else plain.movedim(-1, 1).flatten(0, 1)
        results = torch.cat([self._apply(network, part) for part in torch.split(slices, self.batch_size)])
        return results if plain.ndim == 4 else results.reshape(len(plain), -1, *results.shape[1:]).movedim(1, -1)

    def _apply(self, network: Callable[..., Tensor], batch: Tensor) -> Tensor:
        if not self.correlated_noise:
            return apply_to_any_size(network, batch)
        return denoise_correlated_noise(partial(apply_to_any_size, network), batch)[0]
