"""Camera noise for training on photographs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import NdarrayOrTensor
from monai.transforms import RandomizableTransform
from monai.utils import convert_to_tensor

from ctdenoise.noise.camera import photograph_pair, random_camera


class RandCameraNoised(RandomizableTransform):
    """Take the photograph under ``image`` with a random camera: noisy to ``image``, without noise to ``label``.

    Parameters
    ----------
    shot, read
        σs and σc, see :func:`~ctdenoise.noise.camera.photograph_pair`.
    """

    def __init__(self, shot: float, read: float) -> None:
        super().__init__(prob=1.0)
        self.shot = shot
        self.read = read

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, Any]:
        """Turn ``data["image"]``, ``[3, H, W]`` in [0, 1], into the pair."""
        image = convert_to_tensor(data["image"], dtype=torch.float32, track_meta=False)
        noisy, clean = photograph_pair(image, random_camera(self.R), shot=self.shot, read=self.read, rng=self.R)
        return {**data, "image": noisy, "label": clean}
