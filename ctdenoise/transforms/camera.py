"""Simulated camera noise for training on photographs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import NdarrayOrTensor
from monai.transforms import RandomizableTransform
from monai.utils import convert_to_tensor

from ctdenoise.noise.camera import photograph_pair, random_camera


class RandCameraNoised(RandomizableTransform):
    """Simulate a random camera that takes the photograph ``image`` with noise, and without noise as ``label``.

    Parameters
    ----------
    shot, read
        Noise parameters σs and σc, see :func:`~ctdenoise.noise.camera.photograph_pair`.
    """

    def __init__(self, shot: float, read: float) -> None:
        super().__init__(prob=1.0)
        self.shot = shot
        self.read = read

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, Any]:
        """Replace ``data["image"]``, ``[3, H, W]`` in [0, 1], by the noisy photograph and add ``label``."""
        image = convert_to_tensor(data["image"], dtype=torch.float32, track_meta=False)
        noisy, clean = photograph_pair(image, random_camera(self.R), shot=self.shot, read=self.read, rng=self.R)
        return {**data, "image": noisy, "label": clean}
