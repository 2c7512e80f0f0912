"""A network on a device: run by an engine, as many images at once as memory holds."""

from __future__ import annotations

import copy
from functools import partial
from math import isqrt
from threading import Lock

import torch
from torch import Tensor, nn

from ctdenoise.errors import InputError
from ctdenoise.inference.calibration import Calibration
from ctdenoise.inference.engines import AUTO, ENGINES, Engine, engine_class
from ctdenoise.inference.environment import numerical_environment
from ctdenoise.inference.tiling import TILE_OVERLAP, affordable_pixels, apply_in_tiles
from ctdenoise.models.denoiser import SIZE_MULTIPLE, apply_to_any_size

#: Side of the central crop that engines are timed on; fits into memory whatever the image.
_PROBE_SIDE = 512


class NetworkRunner:
    """Sends images of any size through a network.

    Parameters
    ----------
    network
        Takes and returns ``[B, C, H, W]``, H and W multiples of 16.
    device
        Where to compute.
    channels
        C of the network's input.
    engine
        ``"auto"`` or a name in :data:`~ctdenoise.inference.engines.ENGINES`.
    batch_size
        Most images at once.
    network_key
        Identifies the weights, so that measured speeds can be cached; "" for a network nobody else knows, which eager
        runs without measuring.
    hu_width
        HU that a difference of 1 stands for.

    Raises
    ------
    InputError
        If there is no such engine here.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        *,
        channels: int,
        engine: str,
        batch_size: int,
        network_key: str,
        hu_width: float,
    ) -> None:
        layers = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network: nn.Module = layers
        self.device = device
        self.batch_size = self._requested_batch_size = batch_size
        self._calibration = Calibration(layers, device, channels, network_key, hu_width)
        self._pixels_at_once = affordable_pixels(device)
        self._building = Lock()
        self.engine_name = engine
        if engine != AUTO:
            engine_class(engine, layers, device)

    def __getstate__(self) -> dict[str, object]:
        """Leave out built engines, which cannot be pickled; they are built again where they are used."""
        calibration = copy.copy(self._calibration)
        calibration.built = {}
        return {**self.__dict__, "_calibration": calibration, "_building": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Make a new lock."""
        self.__dict__ = {**state, "_building": Lock()}

    def with_engine(self, name: str) -> NetworkRunner:
        """Return a runner of the same network by another engine.

        Raises
        ------
        InputError
            If there is no such engine here.
        """
        engine_class(name, self.network, self.device)
        other = copy.copy(self)
        other.engine_name = name
        return other

    def fastest_engine(self, probe: Tensor, slices: int) -> str:
        """Return the engine that would be done first with so many images like ``[1, C, H, W]``."""
        if not self._calibration.network_key:
            return "eager"
        probe = apply_to_any_size(_identity, _centre(probe.to(self.device)))
        return self._calibration.fastest(probe, slices)

    @property
    def parallel_calls(self) -> int:
        """Number of threads that should call it at the same time."""
        return 1 if self.engine_name == AUTO else ENGINES[self.engine_name].parallel_calls

    def engine(self) -> Engine:
        """Return the engine, built if it is not yet; eager if none was chosen."""
        with self._building:
            return self._calibration.engine("eager" if self.engine_name == AUTO else self.engine_name)

    @property
    def size_multiple(self) -> int:
        """Of which the sides of images should be multiples."""
        return self.engine().size_multiple

    def environment(self) -> dict[str, str]:
        """Return what can change the rounding of results."""
        name = "eager" if self.engine_name == AUTO else self.engine_name
        return numerical_environment(name, ENGINES[name].package, self.device, self._requested_batch_size)

    @torch.inference_mode()
    def __call__(self, batch: Tensor) -> Tensor:
        """Send ``[B, C, H, W]`` of any size through the network, to the same on the CPU.

        Raises
        ------
        InputError
            If memory does not suffice for a tile.
        """
        batch = batch.to(self.device)
        run = partial(apply_to_any_size, self.engine())
        while True:
            try:
                return self._attempt(run, batch)
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                rows, columns = batch.shape[-2:]
                self._pixels_at_once = int(0.7 * min(self._pixels_at_once, batch.shape[0] * rows * columns))

    def _attempt(self, run: partial[Tensor], batch: Tensor) -> Tensor:
        rows, columns = batch.shape[-2:]
        if rows * columns <= self._pixels_at_once:
            self.batch_size = min(self.batch_size, self._pixels_at_once // (rows * columns))
            results = [run(part).float().cpu() for part in torch.split(batch, self.batch_size)]
            return results[0] if len(results) == 1 else torch.cat(results)
        side = isqrt(self._pixels_at_once) // SIZE_MULTIPLE * SIZE_MULTIPLE
        if side <= 2 * TILE_OVERLAP:
            raise InputError(f"not enough memory for a slice of {rows}×{columns}", hint="try --device cpu")
        return torch.cat([apply_in_tiles(run, image[None], side).float().cpu() for image in batch])


def select_device(name: str) -> torch.device:
    """Return a device by name; ``"auto"`` is CUDA, else MPS, else the CPU.

    Raises
    ------
    InputError
        If it is not available.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, usable in available.items() if usable))
    kind, _, index = name.partition(":")
    if not available.get(kind) or not (index == "" or index.isdecimal()):
        usable = ", ".join(kind for kind, there in available.items() if there)
        raise InputError(f"device: expected auto or one of {usable}, found {name}")
    return torch.device(name)


def _identity(image: Tensor) -> Tensor:
    return image


def _centre(image: Tensor) -> Tensor:
    rows, columns = (slice(max(0, n - _PROBE_SIDE) // 2, (n + min(n, _PROBE_SIDE)) // 2) for n in image.shape[-2:])
    return image[..., rows, columns]


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error)
