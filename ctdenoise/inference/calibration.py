"""Which engine is fastest on this machine: measured once, cached, and only where measuring pays."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_cache_path
from torch import Tensor, nn

from ctdenoise.files import write_whole
from ctdenoise.inference.engines import ENGINES, Engine
from ctdenoise.inference.parallel import results_in_order

#: Largest difference of an engine's result from eager's, HU: root mean square, and in any pixel.
MAX_RMS_DIFFERENCE_HU, MAX_DIFFERENCE_HU = 0.05, 0.5
#: An engine is tried if its expected set-up takes less than this share of eager's time for all slices.
WORTHWHILE_SHARE = 0.25
#: Below this many megapixels in all, nothing is measured and eager is used.
SMALLEST_WORK = 5.0


@dataclass(frozen=True)
class Cost:
    """Measured cost of an engine.

    Attributes
    ----------
    setup
        Seconds until the first result.
    seconds
        For a megapixel.
    usable
        Whether it works here and agrees with eager.
    """

    setup: float
    seconds: float
    usable: bool = True


@dataclass
class Calibration:
    """Finds the fastest engine for a network on a device.

    Attributes
    ----------
    network, device, channels
        See :meth:`~ctdenoise.inference.engines.base.Engine.build`.
    network_key
        Identifies the weights, for the cache.
    hu_width
        HU that a difference of 1 in the network's output stands for.
    built
        Engines that exist already; those that are tried are added.
    """

    network: nn.Module
    device: torch.device
    channels: int
    network_key: str
    hu_width: float
    built: dict[str, Engine] = field(default_factory=dict)

    def fastest(self, probe: Tensor, slices: int) -> str:
        """Return the engine that would process so many slices first, of those that agree with eager.

        Parameters
        ----------
        probe
            ``[1, C, H, W]`` on the device, like the slices.
        slices
            How many will be processed; an engine's set-up is worth it only for many.
        """
        candidates = [name for name in ENGINES if ENGINES[name].unavailable(self.network, self.device) is None]
        cache = _CostCache(f"{self.network_key}/{self.device}/{candidates}")
        megapixels = slices * _megapixels(probe)
        if "eager" not in cache.costs:
            if megapixels < SMALLEST_WORK:
                return "eager"
            cache.costs["eager"] = self._measure("eager", probe)[0]
        for name in candidates:
            budget = WORTHWHILE_SHARE * megapixels * cache.costs["eager"].seconds
            if name not in cache.costs and ENGINES[name].expected_setup_seconds < budget:
                cache.costs[name] = self._try(name, probe)
        cache.write()
        usable = [name for name in candidates if name in cache.costs and cache.costs[name].usable]
        return min(usable, key=lambda name: self._total_seconds(name, cache.costs[name], _megapixels(probe), slices))

    def engine(self, name: str) -> Engine:
        """Return an engine, built if it is not yet."""
        if name not in self.built:
            self.built[name] = ENGINES[name].build(self.network, self.device, channels=self.channels)
        return self.built[name]

    def _total_seconds(self, name: str, cost: Cost, megapixels: float, slices: int) -> float:
        """Return the seconds for so many slices; one that is left over takes an engine as long as a full round."""
        calls = ENGINES[name].parallel_calls
        in_full_rounds = -(-slices // calls) * calls
        return (0.0 if name in self.built else cost.setup) + in_full_rounds * megapixels * cost.seconds

    def _measure(self, name: str, probe: Tensor) -> tuple[Cost, Tensor]:
        began = time.perf_counter()
        engine = self.engine(name)
        result = engine(probe).float()
        setup = time.perf_counter() - began
        seconds = best_seconds(lambda: engine(probe), self.device, threads=engine.parallel_calls)
        return Cost(setup, seconds / _megapixels(probe)), result

    def _try(self, name: str, probe: Tensor) -> Cost:
        try:
            cost, result = self._measure(name, probe)
        except Exception as error:  # a compiler that fails, a library that does not know the processor
            warnings.warn(f"engine {name} does not work here: {type(error).__name__}: {error}", stacklevel=2)
            self.built.pop(name, None)
            return Cost(0, 0, usable=False)
        difference = (result - self.engine("eager")(probe).float()) * self.hu_width
        rms, largest = difference.square().mean().sqrt(), difference.abs().max()
        agrees = bool(rms <= MAX_RMS_DIFFERENCE_HU and largest <= MAX_DIFFERENCE_HU)  # False for NaN
        return Cost(cost.setup, cost.seconds, usable=agrees)


class _CostCache:
    """Costs of a network's engines on this machine, in the user's cache folder."""

    def __init__(self, key: str) -> None:
        versions = [importlib.metadata.version(package) for package in ("torch", "ctdenoise")]
        machine = (platform.node(), platform.machine(), torch.get_num_threads())
        self._key = hashlib.sha256(repr((key, versions, machine)).encode()).hexdigest()
        self._path: Path = user_cache_path("ctdenoise") / "engines.json"
        self.costs: dict[str, Cost] = {}
        with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):  # written by another version
            self.costs = {name: Cost(**cost) for name, cost in self._read()[self._key]["costs"].items()}

    def write(self) -> None:
        costs = {name: asdict(cost) for name, cost in self.costs.items()}
        content = {**self._read(), self._key: {"costs": costs}}
        with contextlib.suppress(OSError):  # a read-only home: it is measured again next time
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps(content, indent=1))

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def best_seconds(run: Callable[[], object], device: torch.device, *, threads: int = 1, times: int = 2) -> float:
    """Return the seconds of a call: the shortest of some rounds, each of one call by every thread."""
    durations = []
    for _ in range(times):
        began = time.perf_counter()
        list(results_in_order(lambda _: run(), range(threads), threads))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        durations.append((time.perf_counter() - began) / threads)
    return min(durations)


def _megapixels(batch: Tensor) -> float:
    return batch.shape[0] * batch.shape[-2] * batch.shape[-1] / 1e6
