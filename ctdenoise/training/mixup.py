"""MixUp of training pairs, as the paper's."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines.utils import PrepareBatch, default_prepare_batch


class PrepareMixedBatch(PrepareBatch):
    """With some probability blend the batch with a permutation of itself, noisy and clean alike, by one λ.

    Blending averages two independent noises: their standard deviation shrinks by √(λ² + (1−λ)²), which is between
    0.71 and 1, 0.90 on average over all batches at the paper's values. So training sees not one noise level but a
    range below it. MONAI's ``MixUp`` draws a λ for each image and mixes every batch.

    Parameters
    ----------
    probability
        0 is off; the paper uses 0.5.
    beta
        λ is drawn from Beta(beta, beta); the paper uses 1.2.
    """

    def __init__(self, probability: float, beta: float) -> None:
        self.probability = probability
        self.beta = beta

    def __call__(
        self,
        batchdata: dict[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return image and label, ``[B, C, H, W]`` each, on `device`."""
        image, label = default_prepare_batch(batchdata, device, non_blocking, **kwargs)
        if torch.rand(()) >= self.probability:
            return image, label
        share = torch.distributions.Beta(self.beta, self.beta).sample().item()
        other = torch.randperm(len(image), device=image.device)
        return share * image + (1 - share) * image[other], share * label + (1 - share) * label[other]
