"""Knowledge distillation: the output of a trained model is the target of another one (Hinton et al. 2015)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from monai.engines.utils import PrepareBatch

from ctdenoise.models.folding import fold_batch_norm
from ctdenoise.models.zoo import load_model


class PrepareDistillationBatch(PrepareBatch):
    """Prepare noisy images as input and the teacher's output for them as target; no clean images are needed.

    Parameters
    ----------
    teacher
        Name or folder of a model whose input and output have the same channels and scale as the network's.

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
        """Return the image and the teacher's output for it, each ``[B, C, H, W]``, on `device`."""
        image = batchdata["image"].to(device, non_blocking=non_blocking)
        teacher = self.teacher.to(image.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.no_grad():
            return image, teacher(image)
