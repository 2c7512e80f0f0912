"""Denoised slices averaged with their denoised neighbours; each slice goes through the network once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray

from ctdenoise.inference.slice_network import SliceNetwork
from ctdenoise.models.averaging import NeighbourAveraging

Image = NDArray[np.float32]
_Compute = Callable[[Image], Image]
#: Results that are kept for each slice that may be worked on at the same time, and the least number.
_KEPT_FOR_EACH, _FEWEST_KEPT = 4, 8


class AveragedSlices:
    """Denoises slices one by one and averages them with their neighbours.

    Parameters
    ----------
    network
        Without context.
    averaging
        Gives the weights; it is moved to the network's device.
    """

    #: Neighbours on each side.
    context = 1

    def __init__(self, network: SliceNetwork, averaging: NeighbourAveraging) -> None:
        self.network = network
        self.averaging = averaging.eval().to(network.runner.device)
        self._recent = _RecentResults()

    def with_engine(self, name: str) -> AveragedSlices:
        """Return the same with another engine; InputError if it is not here."""
        return AveragedSlices(self.network.with_engine(name), self.averaging)

    def __call__(self, windows: Image) -> Image:
        """Denoise ``[B, 3, H, W]`` HU, as :class:`SliceNetwork` does."""
        runner = self.network.runner
        self._recent.limit = max(_FEWEST_KEPT, _KEPT_FOR_EACH * runner.batch_size * runner.parallel_calls)
        flat = windows.reshape(-1, *windows.shape[-2:])
        denoised = self._recent.of(flat, self._alone).reshape(windows.shape)
        results: Image = np.stack([self._average(*pair) for pair in zip(windows, denoised, strict=True)])
        return results

    def _alone(self, slices: Image) -> Image:
        return self.network(slices[:, None])

    @torch.inference_mode()
    def _average(self, noisy: Image, denoised: Image) -> Image:
        """Average ``[3, H, W]`` HU to ``[H, W]``."""
        itself = noisy[self.context]
        result: Image = denoised[self.context].copy()
        box = self.network.box(itself)
        if box is None or all(np.array_equal(one, itself, equal_nan=True) for one in noisy):
            return result
        device = self.network.runner.device
        pair = [torch.from_numpy(self.network.visible(hu[:, *box]))[None].to(device) for hu in (noisy, denoised)]
        mean = self.averaging(*pair)[0].float().cpu().numpy()
        np.copyto(result[box], mean, where=self.network.seen(itself[box]))
        return result


class _RecentResults:
    """The last results by what they were computed from; a result that another thread is at is waited for."""

    def __init__(self) -> None:
        self.limit = _FEWEST_KEPT
        self._results: OrderedDict[bytes, Future[Image]] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[_RecentResults], tuple[()]]:
        """Another process begins with none."""
        return _RecentResults, ()

    def of(self, slices: Image, compute: _Compute) -> Image:
        """Return the results of ``[N, H, W]``, computing those that are not known, in one call."""
        keys = [_content(one) for one in slices]
        futures: dict[bytes, Future[Image]] = {}
        missing: dict[bytes, int] = {}
        try:
            with self._lock:
                for index, key in enumerate(keys):
                    if key not in self._results:
                        missing[key] = index
                        self._results[key] = Future()
                    self._results.move_to_end(key)
                    futures[key] = self._results[key]
                while len(self._results) > max(self.limit, len(slices)):
                    self._results.popitem(last=False)
            if missing:
                for key, result in zip(missing, compute(slices[list(missing.values())]), strict=True):
                    futures[key].set_result(result)
        except BaseException as error:
            self._forget(missing, error)
            raise
        return np.stack([futures[key].result() for key in keys])

    def _forget(self, keys: Iterable[bytes], error: BaseException) -> None:
        """Leave nothing that is not computed, so that nobody waits for it."""
        with self._lock:
            unfinished = [future for key in keys if (future := self._results.pop(key, None)) and not future.done()]
        for future in unfinished:
            future.set_exception(error)


def _content(image: Image) -> bytes:
    """Return a hash of shape and pixels."""
    digest = hashlib.blake2b(repr((image.shape, image.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.digest()
