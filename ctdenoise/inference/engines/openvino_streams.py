"""OpenVINO working on two slices at a time, each with half of the threads: for series, and networks that are small."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any, Self

import torch
from torch import Tensor, nn

from ctdenoise.inference.engines.base import Engine, register
from ctdenoise.inference.engines.openvino import OpenVinoEngine, compile_network
from ctdenoise.models.lite import LiteDenoiser


@register
class OpenVinoStreamsEngine(Engine):
    """A network compiled by OpenVINO with two streams.

    Threads that work on one image wait for each other in every layer: whatever else the process does on one core holds
    up all of them. Streams do not wait for each other.

    Parameters
    ----------
    requests
        OpenVINO's inference requests, one for each stream.
    weights
        Owner of the memory that the requests read weights from; kept as long as the requests.
    """

    name = "openvino-streams"
    package = "openvino"
    expected_setup_seconds = 5.5
    parallel_calls = 2

    def __init__(self, requests: list[Any], weights: object) -> None:
        self._weights = weights
        self._free: SimpleQueue[Any] = SimpleQueue()
        for request in requests:
            self._free.put(request)

    @classmethod
    def unavailable(cls, network: nn.Module, device: torch.device) -> str | None:
        """Need OpenVINO, two threads, and a network of which two images fit into memory."""
        if reason := OpenVinoEngine.unavailable(network, device):
            return reason
        if torch.get_num_threads() < cls.parallel_calls:
            return "it needs two threads; use --engine openvino"
        if not isinstance(network, LiteDenoiser):
            return "it is for the lite networks; use --engine openvino"
        return None

    @classmethod
    def build(cls, network: nn.Module, device: torch.device, *, channels: int) -> Self:
        """Trace and compile; see the base class."""
        hints = {"NUM_STREAMS": cls.parallel_calls, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        compiled, weights = compile_network(network, device, channels, hints)
        return cls([compiled.create_infer_request() for _ in range(cls.parallel_calls)], weights)

    def __call__(self, batch: Tensor) -> Tensor:
        """Run the network on each image, by a stream that is free; see the base class."""
        results = []
        for image in batch.contiguous().numpy():
            request = self._free.get()
            try:
                results.append(torch.from_numpy(request.infer([image[None]])[0].copy()))
            finally:
                self._free.put(request)
        return torch.cat(results)
