"""The MONAI inferer of the bundles' ``inference.json``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor

from ctdenoise.inference.photograph_noise import denoise_photograph
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
    training_noise
        Bring stronger noise of photographs to this standard deviation, [0, 1], see :mod:`ctdenoise.inference.level`.
    """

    def __init__(
        self, batch_size: int = 1, *, correlated_noise: bool = False, training_noise: float | None = None
    ) -> None:
        self.correlated_noise = correlated_noise
        self.training_noise = training_noise
        self.batch_size = batch_size if training_noise is None and not correlated_noise else 1

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Denoise ``[B, C, H, W]``, or the slices of ``[B, C, H, W, D]``."""
        plain = inputs.as_subclass(Tensor)  # MONAI's MetaTensor costs time in each layer
        slices = plain if plain.ndim == 4 else plain.movedim(-1, 1).flatten(0, 1)
        results = torch.cat([self._apply(network, part) for part in torch.split(slices, self.batch_size)])
        return results if plain.ndim == 4 else results.reshape(len(plain), -1, *results.shape[1:]).movedim(1, -1)

    def _apply(self, network: Callable[..., Tensor], batch: Tensor) -> Tensor:
        return denoise_photograph(
            partial(apply_to_any_size, network),
            batch,
            training_noise=self.training_noise,
            correlated_noise=self.correlated_noise,
        )[0]
