"""A series from DICOM to DICOM, and the stages of a slice's way."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from ctdenoise.benchmark.phantom_series import phantom_input, phantom_slice, write_phantom_series
from ctdenoise.benchmark.processes import peak_mb, seconds_per_call
from ctdenoise.inference import Denoiser, denoise
from ctdenoise.inference.denoising import Denoising
from ctdenoise.io.dicom import Derivation, derive_slice, read_slice, write_slice
from ctdenoise.io.dicom.derivation import DicomOutput

#: How often a series is denoised, and on how many slices the network alone is timed before and after each time.
_SERIES_ROUNDS, _SLICES_ALONE = 5, 40


def end_to_end(model: str, device: str, size: int, slices: int) -> dict[str, Any]:
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
        "peak_memory_mb": round(peak_mb()),
    }


def _network_seconds(denoiser: Denoiser, size: int) -> float:
    """Return the seconds that a denoiser's engine takes for a slice when nothing else is done."""
    image = phantom_input(size, denoiser.hu_range, denoiser.channels).to(denoiser.device)
    engine = denoiser.runner.engine()
    run = torch.inference_mode()(partial(engine, image))
    return seconds_per_call(run, _SLICES_ALONE, engine.parallel_calls)


def stages(model: str, device: str, size: int, rounds: int) -> dict[str, Any]:
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
