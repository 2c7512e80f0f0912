"""The interface of an engine, and the registry of engines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self, TypeVar, cast

import torch
from torch import Tensor, nn

from ctdenoise.errors import InputError
from ctdenoise.models.denoiser import SIZE_MULTIPLE, ClipDenoiser
from ctdenoise.models.folding import fold_batch_norm, halve_coarse

#: Stands for the engine that measuring finds fastest.
AUTO = "auto"
#: Heights and widths are multiples of this where an engine prepares itself for each new size.
FEW_SIZES_MULTIPLE = 128


class Engine(ABC):
    """A network prepared for inference on one device.

    Attributes
    ----------
    name
        For options, manifests and the registry.
    package
        Distribution whose version decides how results are rounded.
    expected_setup_seconds
        Estimate of what building it and its first slice take, used before it has been measured.
    size_multiple
        Height and width of images should be multiples of this, so that few different sizes occur.
    parallel_calls
        Number of threads that may call it at the same time, and should, to make full use of the device.
    """

    name: ClassVar[str]
    package: ClassVar[str] = "torch"
    expected_setup_seconds: ClassVar[float]
    parallel_calls: ClassVar[int] = 1
    size_multiple: int = SIZE_MULTIPLE

    @classmethod
    @abstractmethod
    def unavailable(cls, network: nn.Module, device: torch.device) -> str | None:
        """Return why this engine cannot run the network on the device, and what would help; None if it can."""

    @classmethod
    @abstractmethod
    def build(cls, network: nn.Module, device: torch.device, *, channels: int) -> Self:
        """Prepare a network in evaluation mode, which is not changed, for images of so many channels."""

    @abstractmethod
    def __call__(self, batch: Tensor) -> Tensor:
        """Run the network on ``[B, C, H, W]`` on the device, H and W multiples of 16."""


ENGINES: dict[str, type[Engine]] = {}
_Registered = TypeVar("_Registered", bound=type[Engine])


def register(engine: _Registered) -> _Registered:
    """Add an engine to :data:`ENGINES`, which stays in order of expected set-up; a class decorator."""
    ENGINES[engine.name] = engine
    for name in sorted(ENGINES, key=lambda name: ENGINES[name].expected_setup_seconds):
        ENGINES[name] = ENGINES.pop(name)
    return engine


def engine_class(name: str, network: nn.Module, device: torch.device) -> type[Engine]:
    """Return an engine by name.

    Raises
    ------
    InputError
        If there is none of that name, or it cannot run this network on this device.
    """
    if name not in ENGINES:
        raise InputError(f"engine: expected {AUTO} or one of {', '.join(ENGINES)}, found {name}")
    reason = ENGINES[name].unavailable(network, device)
    if reason:
        raise InputError(f"engine {name}: {reason}")
    return ENGINES[name]


def supports_half_precision(network: nn.Module, device: torch.device) -> bool:
    """Whether the decoder's coarse maps may be computed in half precision: on GPUs, and CPUs with bfloat16."""
    return isinstance(network, ClipDenoiser) and (device.type != "cpu" or _cpu_has_bfloat16())


def prepare_layers(network: nn.Module, device: torch.device, *, half: bool) -> nn.Module:
    """Return a copy for inference: BatchNorm folded, and on a CPU coarse maps in bfloat16 if `half`."""
    folded = fold_batch_norm(network)
    if half and device.type == "cpu":
        folded = halve_coarse(cast("ClipDenoiser", folded), torch.bfloat16)
    return folded


def _cpu_has_bfloat16() -> bool:
    known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
