"""How fast it is here: each engine beside the reference implementation's order of operations, DICOM to DICOM, by stage.

Each row runs in a process of its own, with its own memory, and the rows take turns, so that whatever else the machine
does meets all of them.
"""

from __future__ import annotations

import json
import multiprocessing
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from pydicom.uid import generate_uid
from torch import Tensor, nn

from ctdenoise.errors import InputError
from ctdenoise.inference import Denoiser, denoise
from ctdenoise.inference.denoising import Denoising
from ctdenoise.inference.engines import ENGINES
from ctdenoise.inference.manifest import software_versions
from ctdenoise.inference.parallel import results_in_order
from ctdenoise.io.dicom import Derivation, derive_slice, read_slice, write_slice
from ctdenoise.io.dicom.create import NewSeries
from ctdenoise.io.dicom.derivation import DicomOutput
from ctdenoise.models.denoiser import ClipDenoiser, NetworkConfig
from ctdenoise.models.residual import add_difference
from ctdenoise.models.zoo import DEFAULT_MODEL, load_model
from ctdenoise.noise.phantom import render, thorax

SCHEMA = "ctdenoise-benchmark/1"
REFERENCE = "reference"
FIELD_MM = 358.4
#: Of the slices' noise, HU.
NOISE_HU = 30.0
#: How often a series is denoised, and on how many slices the network alone is timed before and after each time.
_SERIES_ROUNDS, _SLICES_ALONE = 5, 40

Say = Callable[[str], None]


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


def benchmark(
    models: Sequence[str],
    *,
    device: str = "auto",
    sizes: Sequence[int] = (512,),
    slices: Sequence[int] = (20,),
    rounds: int = 5,
    configure: Callable[[], None],
    say: Say,
) -> dict[str, Any]:
    """Measure.

    Parameters
    ----------
    models
        Names or folders of models of CT; the reference is the default model's network.
    device
        See :class:`~ctdenoise.inference.Denoiser`.
    sizes
        Matrices, one or more; the first is that of the series.
    slices
        Lengths of the synthetic series that are denoised from DICOM to DICOM.
    rounds
        Slices that each engine is timed on.
    configure
        Makes the settings of a command in each process.
    say
        Told how it goes on.

    Returns
    -------
    dict
        The document that ``ctdenoise benchmark --json`` prints, see ``docs/speed.md``.
    """
    where = Denoiser(nn.Identity(), device=device).device
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "device": torch.cuda.get_device_name(where) if where.type == "cuda" else str(where),
            "threads": torch.get_num_threads(),
            "convolution_gflops": round(_alone(configure, _convolution_gflops, str(where)), 1),
        },
        "versions": software_versions(),
        "network": [],
        "end_to_end": [],
        "stages": [],
    }
    for size in sizes:
        document["network"] += _network_rows(models, where, size, rounds, configure, say)
    for model in models:
        for count in slices:
            say(f"{model}: {count} slices from DICOM to DICOM")
            document["end_to_end"].append(_alone(configure, _end_to_end, model, str(where), sizes[0], count))
        say(f"{model}: stages")
        document["stages"].append(_alone(configure, _stages, model, str(where), sizes[0], rounds))
    peak = document["machine"]["convolution_gflops"]
    for row in document["network"]:
        row["share_of_peak"] = round(row["gflops"] / peak, 3)
    return document


def record(document: dict[str, Any], history: Path) -> None:
    """Add a measurement to a history: a file with a JSON line for each.

    Parameters
    ----------
    document
        What :func:`benchmark` returned.
    history
        The file; made if it is not there.

    Raises
    ------
    InputError
        If the file holds something else than measurements.
    """
    if history.exists():
        with history.open(encoding="utf-8") as lines:
            first = lines.readline()
        if first and f'"schema": "{SCHEMA}"' not in first:
            raise InputError(f"expected a history of measurements ({SCHEMA}), found another file", path=history)
    history.parent.mkdir(parents=True, exist_ok=True)
    with history.open("a", encoding="utf-8") as file:
        file.write(json.dumps(document) + "\n")


def _network_rows(
    models: Sequence[str],
    device: torch.device,
    size: int,
    rounds: int,
    configure: Callable[[], None],
    say: Say,
) -> list[dict[str, Any]]:
    """Time the reference and every engine of every model on one slice, in turns."""
    wanted = [(DEFAULT_MODEL, REFERENCE)]
    for model in models:
        network = load_model(model)[0]
        wanted += [(model, name) for name, engine in ENGINES.items() if engine.unavailable(network, device) is None]
    rows = []
    with ExitStack() as stack:
        workers = [stack.enter_context(_process(configure)) for _ in wanted]
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


@contextmanager
def _process(configure: Callable[[], None]) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=configure) as pool:
        yield pool


def _alone(configure: Callable[[], None], function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own."""
    with _process(configure) as process:
        return process.submit(function, *arguments).result()


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
    image = torch.from_numpy((phantom_slice(size) - low) / _width)
    probe = image.expand(1, channels, -1, -1).to(device)
    began, _threads = time.perf_counter(), 1
    if engine == REFERENCE:
        apply: Callable[[Tensor], Tensor] = ReferenceOrder(cast("ClipDenoiser", network)).to(device)
    else:
        apply = ENGINES[engine].build(network, device, channels=channels)
        _threads = ENGINES[engine].parallel_calls
    _run = torch.inference_mode()(partial(apply, probe.contiguous()))
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
    return _seconds_per_call(_run, _threads, _threads)


def _seconds_per_call(run: Callable[[], Tensor], calls: int, threads: int) -> float:
    began = time.perf_counter()
    list(results_in_order(lambda _: run().cpu(), range(calls), threads))
    return (time.perf_counter() - began) / calls


def _finish() -> dict[str, Any]:
    """Return the memory it took, and by how much it differs from eager."""
    memory = round(_peak_mb())
    if torch.cuda.is_available():
        memory = round(torch.cuda.max_memory_allocated() / 2**20) or memory
    with torch.inference_mode():
        difference = (_run().float() - _eager()) * _width
    rms, most = float(difference.square().mean().sqrt()), float(difference.abs().max())
    return {"peak_memory_mb": memory, "difference_rms_hu": round(rms, 4), "difference_max_hu": round(most, 3)}


def _end_to_end(model: str, device: str, size: int, slices: int) -> dict[str, Any]:
    """Denoise a synthetic series from DICOM to DICOM."""
    denoiser = Denoiser.from_pretrained(model, device=device, full_field=True)
    with tempfile.TemporaryDirectory() as folder:
        source = write_phantom_series(Path(folder) / "in", size=size, slices=slices)
        began = time.perf_counter()
        denoiser = denoiser.with_fastest_engine(phantom_slice(size), slices)
        denoiser(phantom_slice(size), strength=1.0)
        setup = time.perf_counter() - began
        # The speed of a machine with other work varies within a minute, so network and series take turns.
        network, series = [_network_seconds(denoiser, size)], []
        for turn in range(_SERIES_ROUNDS):
            began = time.perf_counter()
            (result,) = denoise(source, Path(folder) / f"out-{turn}", model=denoiser).results
            series.append((time.perf_counter() - began) / slices)
            network.append(_network_seconds(denoiser, size))
    around = [(before + after) / 2 for before, after in pairwise(network)]
    return {
        "engine": result.manifest.engine,
        "model": model,
        "size": size,
        "slices": slices,
        "setup_seconds": round(setup, 2),
        "seconds": round(statistics.median(series) * slices, 2),
        "seconds_per_slice": round(statistics.median(series), 4),
        "network_seconds_per_slice": round(statistics.median(around), 4),
        "times_network": round(statistics.median(a / b for a, b in zip(series, around, strict=True)), 3),
        "peak_memory_mb": round(_peak_mb()),
    }


def _network_seconds(denoiser: Denoiser, size: int) -> float:
    """Return the seconds that a denoiser's engine takes for a slice when nothing else is done."""
    low, high = denoiser.hu_range or (0.0, 1.0)
    image = torch.from_numpy((phantom_slice(size) - low) / (high - low))
    image = image.expand(1, denoiser.channels, -1, -1).contiguous().to(denoiser.device)
    engine = denoiser.runner.engine()
    run = torch.inference_mode()(partial(engine, image))
    return _seconds_per_call(run, _SLICES_ALONE, engine.parallel_calls)


def _stages(model: str, device: str, size: int, rounds: int) -> dict[str, Any]:
    """Time each stage of a slice's way by itself; in a run they overlap."""
    denoiser = Denoiser.from_pretrained(model, device=device, full_field=True)
    provenance = Denoising(denoiser, 1.0).provenance
    derivation = Derivation(provenance=provenance, output=DicomOutput(), time=datetime.now())
    taken: dict[str, list[float]] = {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        taken.setdefault(stage, []).append(time.perf_counter() - began)
        return result

    with tempfile.TemporaryDirectory() as folder:
        (file,) = write_phantom_series(Path(folder) / "in", size=size, slices=1).iterdir()
        denoiser(read_slice(file).hu)
        for _ in range(rounds):
            item = timed("decode", lambda: read_slice(file))
            hu = timed("denoise", partial(denoiser, item.hu, strength=1.0))
            pixels = timed("to stored values", partial(item.to_stored, hu))
            derived = timed("derive", partial(derive_slice, item, pixels, derivation))
            timed("write", partial(write_slice, derived, Path(folder) / "out.dcm"))
    return {"model": model, "seconds": {stage: round(statistics.median(t), 4) for stage, t in taken.items()}}


def phantom_slice(size: int, z: float = 0.0) -> NDArray[np.float32]:
    """Return a noisy slice of the demo's thorax, ``[size, size]`` HU."""
    noise = np.random.default_rng(round(z * 10) + 10**6).normal(0, NOISE_HU, (size, size))
    image: NDArray[np.float32] = (render(thorax(), z, size=size, pixel_mm=FIELD_MM / size) + noise).astype(np.float32)
    return image


def write_phantom_series(folder: Path, *, size: int, slices: int) -> Path:
    """Write a series of noisy slices of the demo's thorax."""
    series = NewSeries(
        patient="PHANTOM^BENCHMARK",
        body_part="CHEST",
        study_uid=generate_uid(prefix=None),
        frame_of_reference_uid=generate_uid(prefix=None),
        uid=generate_uid(prefix=None),
        number=1,
        description="Benchmark",
        pixel_mm=FIELD_MM / size,
        spacing_mm=1.0,
        kernel="none",
        time=datetime.now(),
    )
    folder.mkdir(parents=True)
    images = [phantom_slice(size, z) for z in np.linspace(-20, 20, min(slices, 8))]
    for index in range(slices):
        write_slice(series.slice(index, images[index % len(images)]), folder / f"{index + 1:05d}.dcm")
    return folder


def _convolution_gflops(device_name: str) -> float:
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


def _peak_mb() -> float:
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset / 2**20)
    import resource  # absent on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _processor() -> str:
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return str(known.get("cpu_name") or platform.processor() or platform.machine())
