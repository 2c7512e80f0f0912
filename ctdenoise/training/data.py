"""Datalists to images: what the bundles read, and with what noise they validate."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import set_rnd
from monai.transforms import MapTransform
from numpy.typing import NDArray
from skimage.restoration import denoise_tv_chambolle

from ctdenoise.io.dicom import read_slice
from ctdenoise.io.images import read_image
from ctdenoise.noise.measure import ANATOMY_PER_MM, evenly_spread, measure_noise, uniform_regions
from ctdenoise.training.datasets import Item


class LoadCTSliced(MapTransform):
    """Read the DICOM slices each key lists and average them: HU, ``[1, H, W]`` float32; padding is −1024 HU."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read each key."""
        return {**data, **{key: _average(data[key])[np.newaxis] for key in self.key_iterator(data)}}


def _average(paths: Sequence[str]) -> NDArray[np.float32]:
    average: NDArray[np.float32] = np.mean([read_slice(Path(path)).hu for path in paths], axis=0, dtype=np.float32)
    return average


class LoadNoised(MapTransform):
    """Read the noise that :func:`~ctdenoise.training.own_noise.own_noise` made: HU, ``[1, H, W]`` float32."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read each key."""
        result = dict(data)
        for key in self.key_iterator(data):
            result[key] = (np.load(data[key]).astype(np.float32) * data[f"{key}_scale"])[np.newaxis]
        return result


class SmoothCTd(MapTransform):
    """Take the noise out of what is to be learned, and low-contrast detail with it: total variation (Chambolle 2004).

    Full-dose CT is noisy itself, and a network that is to give it back learns to leave such noise where it finds it.
    What is left need not be this patient's, only look like anatomy without noise: it is input and target alike.

    Parameters
    ----------
    keys
        HU, ``[1, H, W]``.
    strength
        Weight of total variation, in standard deviations of the noise in uniform regions (10 HU where there are none).
        At 1 low-frequency noise stays.
    """

    def __init__(self, keys: KeysCollection, *, strength: float = 5.0) -> None:
        super().__init__(keys)
        self.strength = strength

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Smooth each key."""
        return {**data, **{key: _smooth(data[key][0], self.strength)[np.newaxis] for key in self.key_iterator(data)}}


def _smooth(image: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    regions = uniform_regions([image])
    noise = measure_noise([image], regions, 0.7).above(ANATOMY_PER_MM).std if regions else 10.0
    smooth: NDArray[np.float32] = denoise_tv_chambolle(image, weight=strength * noise).astype(np.float32)
    return smooth


class LoadPhotographd(MapTransform):
    """Read the image file each key names: colour, ``[3, H, W]`` float32 in [0, 1]."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read each key."""
        return {**data, **{key: _colour(data[key]) for key in self.key_iterator(data)}}


def _colour(path: str) -> NDArray[np.float32]:
    values = read_image(Path(path)).values.transpose(2, 0, 1)
    return np.ascontiguousarray(np.broadcast_to(values, (3, *values.shape[1:])))


def slabs(items: Sequence[Item], thickness_mm: float) -> list[Item]:
    """Let neighbouring CT slices of a series stand together, to be averaged for less noise.

    Parameters
    ----------
    items
        As :func:`~ctdenoise.training.datasets.prepare` lists them, each with ``series`` and ``position``.
    thickness_mm
        Of what is averaged; 0 leaves slices alone.

    Returns
    -------
    list
        An item for each position of the slab along its series.
    """
    grouped: list[Item] = []
    for _, group in groupby(items, key=lambda item: item.get("series")):
        series = list(group)
        positions = [item["position"] for item in series if item.get("position") is not None]
        spacing = float(np.median(np.abs(np.diff(positions)))) if len(positions) > 1 else 0.0
        count = min(len(series), max(1, round(thickness_mm / spacing))) if spacing else 1
        for start in range(len(series) - count + 1):
            together = series[start : start + count]
            grouped.append({**together[0], "image": [path for item in together for path in item["image"]]})
    return grouped


def validation_set(
    items: Sequence[Item],
    load: Callable[[Any], Any],
    noise: Callable[[Any], Any],
    *,
    count: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Read what to validate with, once: real pairs as they are, clean images with the same noise each time.

    Parameters
    ----------
    items
        Of which `count` are taken, evenly spread.
    load
        Reads ``image`` and, if there is one, ``label``.
    noise
        Random transform that adds noise to ``image``; for items without a ``label`` only.
    count, seed
        How many, and of the noise.
    """
    chosen = [items[i] for i in evenly_spread(len(items), count)]
    loaded = []
    for index, item in enumerate(chosen):
        data = load(item)
        if "label" not in data:
            set_rnd(noise, seed + index)
            data = noise({**data, "label": data["image"]})
        loaded.append({key: data[key] for key in ("image", "label")})
    return loaded
