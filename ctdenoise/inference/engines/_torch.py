"""Engines whose layers are run by torch."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable

import torch
from torch import Tensor

from ctdenoise.inference.engines.base import Engine


class TorchEngine(Engine, ABC):
    """Layers run by torch on some device, in channels-last order.

    Parameters
    ----------
    run
        The network on the device.
    device
        Where it is.
    half
        Run under float16 autocast; on GPUs only.
    size_multiple
        See :class:`~ctdenoise.inference.engines.base.Engine`.
    """

    def __init__(
        self, run: Callable[[Tensor], Tensor], device: torch.device, *, half: bool, size_multiple: int
    ) -> None:
        self._run, self._device, self._half = run, device, half
        self.size_multiple = size_multiple

    def __call__(self, batch: Tensor) -> Tensor:
        """Run the network; see the base class."""
        batch = batch.contiguous(memory_format=torch.channels_last)
        if self._device.type == "cpu":
            return self._run(batch)
        with (
            torch.autocast(self._device.type, torch.float16, enabled=self._half),
            torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=self._half),
        ):
            return self._run(batch)
