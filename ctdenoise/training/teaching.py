"""What one network gives becomes what another learns (Hinton et al. 2015, for images)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from monai.engines.utils import PrepareBatch

from ctdenoise.models.folding import fold_batch_norm
from ctdenoise.models.zoo import load_model


class PrepareTaughtBatch(PrepareBatch):
    """Noisy images, and in place of clean ones what a model makes of them; so any image will do.

    Parameters
    ----------
    teacher
        Name or folder of a model of grey images on the same scale.

    Raises
    ------
    InputError
        If there is no such model.
    """

    def __init__(self, teacher: str | Path) -> None:
        self.teacher = fold_batch_norm(load_model(teacher)[0]).requires_grad_(False)

    def __call__(
        self,
        batchdata: dict[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return image and what the teacher makes of it, ``[B, 1, H, W]`` each, on `device`."""
        image = batchdata["image"].to(device, non_blocking=non_blocking)
        teacher = self.teacher.to(image.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.no_grad():
            return image, teacher(image)
