"""OpenVINO on Intel and Arm CPUs; the package ``openvino`` is an extra."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from copy import deepcopy
from importlib.util import find_spec
from typing import Any, Self

import torch
from torch import Tensor, nn

from ctdenoise.inference.engines.base import Engine, prepare_layers, register, supports_half_precision


@register
class OpenVinoEngine(Engine):
    """A traced network compiled by OpenVINO.

    Parameters
    ----------
    request
        OpenVINO's inference request.
    weights
        Owner of the memory that the request reads weights from; kept as long as the request.
    """

    name = "openvino"
    package = "openvino"
    expected_setup_seconds = 5.0

    def __init__(self, request: Any, weights: object) -> None:
        self._request, self._weights = request, weights

    @classmethod
    def unavailable(cls, network: nn.Module, device: torch.device) -> str | None:
        """Need a CPU and the package."""
        if device.type != "cpu":
            return "it is for CPUs; use --device cpu"
        if find_spec("openvino") is None:
            return "pip install 'ctdenoise[openvino]'"
        return None

    @classmethod
    def build(cls, network: nn.Module, device: torch.device, *, channels: int) -> Self:
        """Trace and compile; see the base class."""
        compiled, weights = compile_network(
            network, device, channels, {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        )
        return cls(compiled.create_infer_request(), weights)

    def __call__(self, batch: Tensor) -> Tensor:
        """Run the network; see the base class."""
        # A copy, as the next call overwrites the request's output.
        return torch.from_numpy(self._request.infer([batch.contiguous().numpy()])[0].copy())


def compile_network(
    network: nn.Module, device: torch.device, channels: int, hints: Mapping[str, object]
) -> tuple[Any, object]:
    """Trace a network and compile it by OpenVINO; see :meth:`~ctdenoise.inference.engines.base.Engine.build`.

    Parameters
    ----------
    hints
        OpenVINO's properties for the compiled model, by name.

    Returns
    -------
    compiled
        An ``openvino.CompiledModel``.
    weights
        Owner of the memory that it reads weights from, to be kept as long as it.
    """
    # openvino.convert_model would report its use to its makers; the front end does not.
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    layers = prepare_layers(network, device, half=supports_half_precision(network, device))
    # OpenVINO misreads bfloat16 weights in any other memory format.
    layers = deepcopy(layers).to(memory_format=torch.contiguous_format)
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and warns of values it takes as constants
        decoder = TorchScriptPythonDecoder(layers, example_input=torch.zeros(1, channels, 64, 64))
    front_end = FrontEndManager().load_by_framework("pytorch")
    model = front_end.convert(front_end.load(decoder))
    return openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", **hints}), decoder
