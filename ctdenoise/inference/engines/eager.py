"""PyTorch in eager mode, float32."""

from __future__ import annotations

from typing import Self

import torch
from torch import nn

from ctdenoise.inference.engines._torch import TorchEngine
from ctdenoise.inference.engines.base import FEW_SIZES_MULTIPLE, prepare_layers, register
from ctdenoise.models.denoiser import SIZE_MULTIPLE


@register
class EagerEngine(TorchEngine):
    """Float32 throughout."""

    name = "eager"
    expected_setup_seconds = 0.5

    @classmethod
    def unavailable(cls, network: nn.Module, device: torch.device) -> str | None:
        """Available everywhere."""
        return None

    @classmethod
    def build(cls, network: nn.Module, device: torch.device, *, channels: int) -> Self:
        """Fold BatchNorm; see the base class."""
        layers = prepare_layers(network, device, half=False)
        run = layers.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        multiple = FEW_SIZES_MULTIPLE if device.type == "cuda" else SIZE_MULTIPLE
        return cls(run, device, half=False, size_multiple=multiple)
