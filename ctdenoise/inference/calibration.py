"""Which engine is fastest here: measured once, remembered, and only where measuring pays."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_cache_path
from torch import Tensor, nn

from ctdenoise.files import write_whole
from ctdenoise.inference.engines import ENGINES, Engine, build, missing

#: An engine may differ from eager by so much, HU: root mean square, and at most.
AGREE_RMS, AGREE_MAX = 0.05, 0.5
#: What making an engine ready and trying it takes, s, before it was measured.
_EXPECTED = {"mixed": 2.0, "openvino": 5.0, "compile": 40.0}
#: The share of eager's time that a better engine is hoped to save.
_HOPE = 0.25
#: Torch's threads before a calibration took fewer.
_THREADS = torch.get_num_threads()


@dataclass(frozen=True)
class Cost:
    """What an engine takes.

    Attributes
    ----------
    setup
        Seconds until it is ready.
    seconds
        A million pixels.
    usable
        Whether it works here and agrees with eager.
    """

    setup: float
    seconds: float
    usable: bool = True


def choose(
    network: nn.Module, probe: Tensor, *, slices: int, channels: int, device: torch.device, name: str, width: float
) -> Engine:
    """Return the engine that is done first with some slices, of those that agree with eager.

    Parameters
    ----------
    probe
        ``[B, C, H, W]``, the first of these slices.
    slices
        How many there are. For few, nothing is measured and eager is taken.
    channels, device
        See :func:`~ctdenoise.inference.engines.build`.
    name
        Identifies the network, for what is remembered of it.
    width
        HU that a difference of 1 is.
    """
    pixels = slices * probe.shape[-2] * probe.shape[-1] / 1e6
    here = [e for e in ENGINES if missing(e, network, device) is None]
    engines: dict[str, Engine] = {}

    def measure(engine: str) -> tuple[Cost, Tensor]:
        began = time.perf_counter()
        engines[engine] = build(engine, network, device, channels=channels)
        result = engines[engine].apply(probe).float()
        setup = time.perf_counter() - began
        return Cost(setup, _seconds(lambda: engines[engine].apply(probe), device) * 1e6 / _pixels(probe)), result

    memory = _Memory(f"{name}/{device}/{here}")
    if "eager" not in memory.costs and pixels < 5:
        return build("eager", network, device, channels=channels)
    expected: Tensor | None = None
    if "eager" not in memory.costs:
        memory.costs["eager"], expected = measure("eager")
        if device.type == "cpu":
            memory.threads = _best_threads(lambda: engines["eager"].apply(probe))
    if memory.threads:
        torch.set_num_threads(memory.threads)
    for engine in here:
        if engine in memory.costs or _EXPECTED[engine] > _HOPE * pixels * memory.costs["eager"].seconds:
            continue
        if expected is None:
            expected = build("eager", network, device, channels=channels).apply(probe).float()
        try:
            cost, result = measure(engine)
        except Exception as error:  # a compiler that does not compile, a library that does not know the processor
            warnings.warn(f"engine {engine} does not work here: {type(error).__name__}: {error}", stacklevel=2)
            memory.costs[engine] = Cost(0, 0, usable=False)
            continue
        difference = (result - expected) * width
        agrees = difference.square().mean().sqrt() <= AGREE_RMS and difference.abs().max() <= AGREE_MAX  # no NaN does
        memory.costs[engine] = replace(cost, usable=bool(agrees))
    memory.write()

    def whole(engine: str) -> float:
        cost = memory.costs[engine]
        return (0.0 if engine in engines else cost.setup) + pixels * cost.seconds

    best = min((e for e in here if e in memory.costs and memory.costs[e].usable), key=whole)
    return engines.get(best) or build(best, network, device, channels=channels)


class _Memory:
    """Costs of a model's engines on this machine, kept in the user's cache folder."""

    def __init__(self, key: str) -> None:
        versions = [importlib.metadata.version(package) for package in ("torch", "ctdenoise")]
        machine = (platform.node(), platform.machine(), _THREADS)
        self._key = hashlib.sha256(repr((key, versions, machine)).encode()).hexdigest()
        self._path: Path = user_cache_path("ctdenoise") / "engines.json"
        self.threads = 0
        self.costs: dict[str, Cost] = {}
        with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):  # as another version wrote it
            entry = self._read()[self._key]
            costs = {engine: Cost(**cost) for engine, cost in entry["costs"].items()}
            self.threads, self.costs = int(entry["threads"]), costs

    def write(self) -> None:
        costs = {engine: asdict(cost) for engine, cost in self.costs.items()}
        content = {**self._read(), self._key: {"threads": self.threads, "costs": costs}}
        with contextlib.suppress(OSError):  # then it is measured again
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps(content, indent=1))

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def _best_threads(run: Callable[[], object]) -> int:
    """Halve torch's threads as long as that is faster, as where a container has fewer processors than the machine."""
    threads = torch.get_num_threads()
    best = _seconds(run, torch.device("cpu"))
    while threads > 1:
        torch.set_num_threads(threads // 2)
        fewer = _seconds(run, torch.device("cpu"))
        if fewer >= best:
            break
        threads, best = threads // 2, fewer
    torch.set_num_threads(threads)
    return threads


def _seconds(run: Callable[[], object], device: torch.device, times: int = 2) -> float:
    """The least of some runs."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - began)
    return min(taken)


def _pixels(batch: Tensor) -> int:
    return batch.shape[0] * batch.shape[-2] * batch.shape[-1]
