"""``torch.compile``: code generated for each image size."""

from __future__ import annotations

import os
import shutil
from typing import Any, Self

import torch
from torch import nn

from ctdenoise.inference.engines._torch import TorchEngine
from ctdenoise.inference.engines.base import (
    FEW_SIZES_MULTIPLE,
    prepare_layers,
    register,
    supports_half_precision,
)


@register
class CompileEngine(TorchEngine):
    """Compiled by inductor at the first slice of each size; CUDA graphs on GPUs."""

    name = "compile"
    expected_setup_seconds = 40.0

    @classmethod
    def unavailable(cls, network: nn.Module, device: torch.device) -> str | None:
        """Need a C++ compiler on a CPU."""
        if device.type == "cpu" and not shutil.which(os.environ.get("CXX", "c++")):
            return "it needs a C++ compiler, e.g. Debian's package g++"
        return None

    @classmethod
    def build(cls, network: nn.Module, device: torch.device, *, channels: int) -> Self:
        """Prepare compilation; see the base class."""
        half = supports_half_precision(network, device)
        layers = prepare_layers(network, device, half=half)
        layers = layers.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        options: dict[str, Any] = {"triton.cudagraphs": True} if device.type == "cuda" else {"freezing": True}
        run = torch.compile(layers, dynamic=False, options=options)
        return cls(run, device, half=half and device.type != "cpu", size_multiple=FEW_SIZES_MULTIPLE)
