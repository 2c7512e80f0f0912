"""MixUp of training pairs, as in the paper."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines.utils import PrepareBatch, default_prepare_batch


class PrepareMixedBatch(PrepareBatch):
    """Blend the batch with a permutation of itself, noisy and clean images by the same λ, with some probability.

    Blending averages two independent noise samples, so the standard deviation of the noise falls by the factor
    √(λ² + (1−λ)²): between 0.71 and 1, and 0.90 on average over all batches with the paper's values. The training
    therefore sees a range of noise levels up to the one that was added. MONAI's ``MixUp`` is different: it draws a λ
    for each image and mixes every batch.

    Parameters
    ----------
    probability
        Probability that a batch is blended; 0 turns MixUp off, the paper uses 0.5.
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
        """Return image and label, each ``[B, C, H, W]``, on `device`."""
        image, label = default_prepare_batch(batchdata, device, non_blocking, **kwargs)
        if torch.rand(()) >= self.probability:
            return image, label
        lam = torch.distributions.Beta(self.beta, self.beta).sample().item()
        other = torch.randperm(len(image), device=image.device)
        return lam * image + (1 - lam) * image[other], lam * label + (1 - lam) * label[other]
