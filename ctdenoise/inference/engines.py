"""Engines: ways to run one network, the same answers at different speeds."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import Tensor, nn

from ctdenoise.errors import InputError
from ctdenoise.models.denoiser import SIZE_MULTIPLE, ClipDenoiser
from ctdenoise.models.folding import fold_batch_norm, halve_coarse

#: What there is, in the order of what it takes to make one ready; ``auto`` chooses among them.
ENGINES = ("eager", "mixed", "openvino", "compile")
#: Where each size has a price when it first occurs, sizes are multiples of this.
_FEW_SIZES = 128


@dataclass(frozen=True)
class Engine:
    """A network, ready to run.

    Attributes
    ----------
    name
        One of :data:`ENGINES`.
    apply
        Takes ``[B, C, H, W]`` on the device to the same size.
    multiple
        Of which H and W should be, so that as few sizes as possible occur.
    """

    name: str
    apply: Callable[[Tensor], Tensor]
    multiple: int = SIZE_MULTIPLE


def missing(name: str, network: nn.Module, device: torch.device) -> str | None:
    """Return why there is no such engine here; None if there is.

    Raises
    ------
    InputError
        If there is none of that name anywhere.
    """
    if name == "mixed" and not isinstance(network, ClipDenoiser):
        return "it is for models with a decoder; this one is run by eager"
    if name == "mixed" and device.type == "cpu" and not _bfloat16():
        return "this processor has no instructions for bfloat16"
    if name == "compile" and device.type == "cpu" and not shutil.which(os.environ.get("CXX", "c++")):
        return "it needs a C++ compiler, as in Debian's package g++"
    if name == "openvino" and device.type != "cpu":
        return "it is for processors; name --device cpu"
    if name == "openvino" and find_spec("openvino") is None:
        return "pip install 'ctdenoise[openvino]'"
    if name not in ENGINES:
        raise InputError(f"engine: expected auto or one of {', '.join(ENGINES)}, found {name}")
    return None


def build(name: str, network: nn.Module, device: torch.device, *, channels: int) -> Engine:
    """Make an engine ready; `compile` does most of that at its first slice of each size.

    Parameters
    ----------
    name
        ``"eager"`` is float32 throughout, and what the others must agree with. ``"mixed"`` computes the decoder's
        coarse maps in bfloat16, on a GPU all but the last block in float16. ``"openvino"`` and ``"compile"`` run what
        ``mixed`` runs, where there is that, by OpenVINO and ``torch.compile``.
    network
        In evaluation; it stays as it is.
    device
        Where it runs.
    channels
        What it takes.

    Raises
    ------
    InputError
        If there is no such engine here.
    """
    why = missing(name, network, device)
    if why:
        raise InputError(f"engine {name}: {why}")
    if device.type == "cpu":
        _keep_freed_memory()
    folded = fold_batch_norm(network)
    halved = name != "eager" and missing("mixed", network, device) is None
    if halved and device.type == "cpu":
        folded = halve_coarse(cast("ClipDenoiser", folded), torch.bfloat16)
    if name == "openvino":
        return Engine(name, _openvino(folded, channels))
    folded = folded.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    run: Callable[[Tensor], Tensor] = folded
    if name == "compile":
        options: dict[str, Any] = {"triton.cudagraphs": True} if device.type == "cuda" else {"freezing": True}
        torch._dynamo.config.recompile_limit = 64  # sizes
        run = torch.compile(folded, dynamic=False, options=options)

    def apply(batch: Tensor) -> Tensor:
        batch = batch.contiguous(memory_format=torch.channels_last)
        if device.type == "cpu":
            return run(batch)
        with (
            torch.autocast(device.type, torch.float16, enabled=halved),
            torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=halved),
        ):
            return run(batch)

    few_sizes = name == "compile" or device.type == "cuda"
    return Engine(name, apply, _FEW_SIZES if few_sizes else SIZE_MULTIPLE)


def _openvino(network: nn.Module, channels: int) -> Callable[[Tensor], Tensor]:
    # By its front end, as openvino.convert_model would report its use to the makers.
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # bfloat16 in any other memory format it takes for another order of the same numbers.
    network = deepcopy(network).to(memory_format=torch.contiguous_format)
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing: that it is old, and that it keeps what depends on the input
        decoder = TorchScriptPythonDecoder(network, example_input=torch.zeros(1, channels, 64, 64))
    front_end = FrontEndManager().load_by_framework("pytorch")
    model = front_end.convert(front_end.load(decoder))
    hints = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    request = openvino.Core().compile_model(model, "CPU", hints).create_infer_request()

    # What it compiled reads weights where torch has them, when it first meets a size: they must live as long.
    def apply(batch: Tensor, _weights: object = decoder) -> Tensor:
        # A copy, as the next slice overwrites it.
        return torch.from_numpy(request.infer([batch.contiguous().numpy()])[0].copy())

    return apply


def _bfloat16() -> bool:
    known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def _keep_freed_memory() -> None:
    """Let the process keep memory that tensors gave back, for the next slice's.

    By default glibc returns each large block to the system and gets it anew, page by page: a third of a slice's time.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; musl has none
        if mallopt:
            largest_from_heap, kept_free = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
            mallopt(largest_from_heap, 1 << 30)
            mallopt(kept_free, 2**31 - 1)
