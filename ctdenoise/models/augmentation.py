"""Progressive feature augmentation (paper §3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ProgressiveFeatureAugmentation(nn.Module):
    """Multiply feature i (1…4, never the image) element-wise by N(1, (i·γ)²), in training only.

    Deeper features are disturbed more, so that the decoder cannot lean on what one noise does to them.

    Parameters
    ----------
    gamma
        γ ≥ 0; the paper uses 0.025 for synthetic noise and CT, 0.05 for camera noise. 0 turns it off.
    """

    def __init__(self, gamma: float = 0.025) -> None:
        super().__init__()
        if gamma < 0:
            raise ValueError(f"gamma: expected a value of at least 0, found {gamma}")
        self.gamma = gamma

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the features, augmented if the module is in training mode; the first one, the image, as it is."""
        if not self.training or self.gamma == 0:
            return list(features)
        image, *maps = features
        return [image, *(f * (1 + i * self.gamma * torch.randn_like(f)) for i, f in enumerate(maps, start=1))]
