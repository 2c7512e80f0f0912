"""A network alone: each engine beside the reference implementation's order of operations."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from ctdenoise.benchmark.phantom_series import phantom_input
from ctdenoise.benchmark.processes import peak_mb, seconds_per_call, worker_process
from ctdenoise.inference.engines import ENGINES
from ctdenoise.models.denoiser import ClipDenoiser, NetworkConfig
from ctdenoise.models.residual import add_difference
from ctdenoise.models.zoo import DEFAULT_MODEL, load_model

REFERENCE = "reference"


class ReferenceOrder(nn.Module):
    """The paper's network as its reference implementation runs it: all of layer4, whose map nothing uses.

    Float32, NCHW, BatchNorm as it is.
    """

    def __init__(self, network: ClipDenoiser) -> None:
        super().__init__()
        from open_clip.modified_resnet import ModifiedResNet

        self.network = network
        self.layer4 = ModifiedResNet(layers=(3, 4, 6, 3), output_dim=1, heads=1, width=64).layer4.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Denoise ``[B, 3, H, W]``; see :class:`~ctdenoise.models.denoiser.ClipDenoiser`."""
        features = self.network.encoder(image)
        self.layer4(features[-1])
        decoded: Tensor = self.network.decoder(features)
        return add_difference(image, decoded, self.network.residual) if self.network.residual else decoded


def network_rows(
    models: Sequence[str],
    device: torch.device,
    size: int,
    rounds: int,
    configure: Callable[[], None],
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Time the reference and every engine of every model on one slice, in turns."""
    wanted = [(DEFAULT_MODEL, REFERENCE)]
    for model in models:
        network = load_model(model)[0]
        wanted += [(model, name) for name, engine in ENGINES.items() if engine.unavailable(network, device) is None]
    rows = []
    with ExitStack() as stack:
        workers = [stack.enter_context(worker_process(configure)) for _ in wanted]
        for (model, engine), worker in zip(wanted, workers, strict=True):
            say(f"{model}, {engine}: {size}×{size}")
            ready = worker.submit(_prepare, model, engine, str(device), size).result()
            rows.append({"engine": engine, "model": model, "size": size, **ready})
        times = [[worker.submit(_time).result() for worker in workers] for _ in range(rounds)]
        for row, worker, taken in zip(rows, workers, zip(*times, strict=True), strict=True):
            row["seconds_per_slice"] = round(statistics.median(taken), 4)
            row["speedup_vs_reference"] = round(
                statistics.median(a / b for a, b in zip(_first(times), taken, strict=True)), 2
            )
            row["gflops"] = round(row["gflop_per_slice"] / row["seconds_per_slice"], 1)
            row |= worker.submit(_finish).result()
    return rows


def _first(times: list[list[float]]) -> list[float]:
    return [taken[0] for taken in times]


# What follows runs in a worker; its network waits here between its turns.
_run: Callable[[], Tensor]
_eager: Callable[[], Tensor]
_threads: int
_width: float


def _prepare(model: str, engine: str, device_name: str, size: int) -> dict[str, Any]:
    """Make an engine ready; return what that took, and the operations a slice needs."""
    global _run, _eager, _threads, _width
    from torch.utils.flop_counter import FlopCounterMode

    network, description = load_model(model)
    device = torch.device(device_name)
    low, high = description.hu_range or (0.0, 1.0)
    _width = high - low
    channels = NetworkConfig(**description.network).in_channels
    probe = phantom_input(size, description.hu_range, channels).to(device)
    began, _threads = time.perf_counter(), 1
    if engine == REFERENCE:
        apply: Callable[[Tensor], Tensor] = ReferenceOrder(cast("ClipDenoiser", network)).to(device)
    else:
        apply = ENGINES[engine].build(network, device, channels=channels)
        _threads = ENGINES[engine].parallel_calls
    _run = torch.inference_mode()(partial(apply, probe))
    _run()
    setup = time.perf_counter() - began
    _time()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        (ReferenceOrder(cast("ClipDenoiser", network)) if engine == REFERENCE else network)(
            torch.zeros(1, channels, 64, 64)
        )
    gflop = counter.get_total_flops() * (size / 64) ** 2 / 1e9
    _eager = partial(_apply_eager, network, probe)
    return {"setup_seconds": round(setup, 2), "gflop_per_slice": round(gflop, 1)}


def _apply_eager(network: nn.Module, probe: Tensor) -> Tensor:
    return ENGINES["eager"].build(network, probe.device, channels=probe.shape[1])(probe).float()


def _time() -> float:
    """Return the seconds for a slice, with as many at a time as the engine works on."""
    _run()  # in a series a slice follows another, here the other rows' slices
    return seconds_per_call(_run, _threads, _threads)


def _finish() -> dict[str, Any]:
    """Return the memory it took, and by how much it differs from eager."""
    memory = round(peak_mb())
    if torch.cuda.is_available():
        memory = round(torch.cuda.max_memory_allocated() / 2**20) or memory
    with torch.inference_mode():
        difference = (_run().float() - _eager()) * _width
    rms, most = float(difference.square().mean().sqrt()), float(difference.abs().max())
    return {"peak_memory_mb": memory, "difference_rms_hu": round(rms, 4), "difference_max_hu": round(most, 3)}


def convolution_gflops(device_name: str) -> float:
    """Return what a large convolution alone achieves: the ceiling for a network of convolutions."""
    device = torch.device(device_name)
    layer = nn.Conv2d(256, 256, 3, padding=1, bias=False).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.rand(1, 256, 128, 128, device=device).contiguous(memory_format=torch.channels_last)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(20):
            began = time.perf_counter()
            layer(image)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            best = min(best, time.perf_counter() - began)
    return float(2 * 9 * 256 * 256 * 128 * 128 / best / 1e9)
