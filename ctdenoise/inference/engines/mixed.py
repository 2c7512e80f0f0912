"""PyTorch in eager mode with the decoder's coarse maps in half precision."""

from __future__ import annotations

from typing import Self

import torch
from torch import nn

from ctdenoise.inference.engines._torch import TorchEngine
from ctdenoise.inference.engines.base import (
    FEW_SIZES_MULTIPLE,
    prepare_layers,
    register,
    supports_half_precision,
)
from ctdenoise.models.denoiser import SIZE_MULTIPLE


@register
class MixedEngine(TorchEngine):
    """The decoder's coarse maps in bfloat16 on CPUs, float16 autocast on GPUs; the last block stays float32."""

    name = "mixed"
    expected_setup_seconds = 2.0

    @classmethod
    def unavailable(cls, network: nn.Module, device: torch.device) -> str | None:
        """Need a decoder with coarse maps, and bfloat16 instructions on a CPU."""
        if supports_half_precision(network, device):
            return None
        if device.type == "cpu" and supports_half_precision(network, torch.device("cuda")):
            return "this processor has no instructions for bfloat16; use eager"
        return "it is for models with an encoder and a decoder; use eager"

    @classmethod
    def build(cls, network: nn.Module, device: torch.device, *, channels: int) -> Self:
        """Fold BatchNorm and lower the precision of coarse maps; see the base class."""
        layers = prepare_layers(network, device, half=True)
        run = layers.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        multiple = FEW_SIZES_MULTIPLE if device.type == "cuda" else SIZE_MULTIPLE
        return cls(run, device, half=device.type != "cpu", size_multiple=multiple)
