"""Progressive feature augmentation (paper §3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ProgressiveFeatureAugmentation(nn.Module):
    """Multiply feature map i (1…4, not the image) element-wise by samples of N(1, (i·γ)²), in training only.

    Deeper maps are perturbed more, so that the decoder does not adapt to how the training noise changes the features.

    Parameters
    ----------
    gamma
        γ ≥ 0; the paper uses 0.025 for synthetic noise and CT, 0.05 for camera noise. 0 turns the augmentation off.

    Raises
    ------
    ValueError
        If `gamma` is negative.
    """

    def __init__(self, gamma: float = 0.025) -> None:
        super().__init__()
        if gamma < 0:
            raise ValueError(f"gamma: expected a value of at least 0, found {gamma}")
        self.gamma = gamma

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the features, multiplied by noise in training mode; the first one, the image, is never changed."""
        if not self.training or self.gamma == 0:
            return list(features)
        image, *maps = features
        return [image, *(f * (1 + i * self.gamma * torch.randn_like(f)) for i, f in enumerate(maps, start=1))]
