"""Loading of images from datalists, and validation sets with fixed noise."""

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

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import read_slice
from ctdenoise.io.images import read_image
from ctdenoise.io.neighbours import Plane, neighbour_indices
from ctdenoise.noise.measure import ANATOMY_PER_MM, evenly_spread, measure_noise, uniform_regions
from ctdenoise.training.datasets import Datalist, Item


class LoadCTSliced(MapTransform):
    """Read the DICOM slices listed under each key and average them: HU, ``[1, H, W]`` float32; padding is −1024 HU."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read each key."""
        return {**data, **{key: _average(data[key])[np.newaxis] for key in self.key_iterator(data)}}


def _average(paths: Sequence[str]) -> NDArray[np.float32]:
    average: NDArray[np.float32] = np.mean([read_slice(Path(path)).hu for path in paths], axis=0, dtype=np.float32)
    return average


class LoadNeighbourhoodd(MapTransform):
    """Read the slices that :func:`neighbourhoods` lists under each key: HU, ``[N, H, W]`` float32."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read each key; each file once."""
        result = dict(data)
        for key in self.key_iterator(data):
            read = {tuple(paths): _average(paths) for paths in data[key]}
            result[key] = np.stack([read[tuple(paths)] for paths in data[key]])
        return result


class LoadNoised(MapTransform):
    """Read noise of :func:`~ctdenoise.training.matched_noise.simulate_matched_noise`: HU, ``[1, H, W]`` float32."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read each key."""
        result = dict(data)
        for key in self.key_iterator(data):
            noise = np.load(data[key]).astype(np.float32) * np.float32(data[f"{key}_scale"])
            result[key] = noise[np.newaxis]
        return result


class SmoothCTd(MapTransform):
    """Remove the noise of training images by total variation (Chambolle 2004), and low-contrast detail with it.

    Full-dose CT is noisy too, and a network trained on it as target learns to keep such noise. The smoothed image need
    not equal the patient's anatomy; it must only look like anatomy without noise, because the input is made from it as
    well.

    Parameters
    ----------
    keys
        HU, ``[1, H, W]``.
    strength
        Weight of total variation, as a multiple of the standard deviation of the noise in uniform regions, or of 10 HU
        if there are none. At 1, noise of low frequency remains.
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
    """Read the image file named by each key: colour, ``[3, H, W]`` float32 in [0, 1]."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read each key."""
        return {**data, **{key: _read_colour(data[key]) for key in self.key_iterator(data)}}


def _read_colour(path: str) -> NDArray[np.float32]:
    values = read_image(Path(path)).values.transpose(2, 0, 1)
    return np.ascontiguousarray(np.broadcast_to(values, (3, *values.shape[1:])))


def section_items(data: Datalist, section: str) -> list[Item]:
    """Return the items of a section of a datalist.

    Raises
    ------
    InputError
        If there are none; names the sections that have some.
    """
    if data.get(section):
        return data[section]
    present = ", ".join(f"{name} ({len(items)})" for name, items in data.items() if items) or "none"
    raise InputError(
        f"expected images in the section {section} of the data set, found none; sections with images: {present}",
        hint="a training needs at least two patients or two images; see ctdenoise datasets show",
    )


def slabs(items: Sequence[Item], thickness_mm: float) -> list[Item]:
    """Group neighbouring CT slices into slabs, which are averaged to reduce noise.

    Parameters
    ----------
    items
        As :func:`~ctdenoise.training.datasets.prepare` lists them, each with ``series`` and ``position``.
    thickness_mm
        Thickness of a slab; 0 gives single slices.

    Returns
    -------
    list
        An item for each position of the slab along its series, with all its slices under ``image``.
    """
    grouped: list[Item] = []
    for _, group in groupby(items, key=lambda item: item.get("series")):
        series = list(group)
        positions = [item["position"] for item in series if item.get("position") is not None]
        spacing = float(np.median(np.abs(np.diff(positions)))) if len(positions) > 1 else 0.0
        count = min(len(series), max(1, round(thickness_mm / spacing))) if spacing else 1
        for start in range(len(series) - count + 1):
            slab = series[start : start + count]
            grouped.append({**slab[0], "image": [path for item in slab for path in item["image"]]})
    return grouped


def neighbourhoods(items: Sequence[Item], slices: int) -> list[Item]:
    """Give CT slices their neighbours along the series.

    Parameters
    ----------
    items
        As :func:`~ctdenoise.training.datasets.prepare` lists them, each with ``series`` and ``position``.
    slices
        Odd number N of slices: the slice itself and (N − 1) / 2 neighbours on each side.

    Returns
    -------
    list
        The items, each with N lists of paths under ``image``, in order along the normal, and under ``missing`` the
        indices of those that repeat the slice itself, as
        :func:`~ctdenoise.io.neighbours.neighbour_indices` decides.
    """
    gathered: list[Item] = []
    for _, group in groupby(items, key=lambda item: item.get("series")):
        series = list(group)
        table = neighbour_indices([Plane(item.get("position")) for item in series], slices // 2)
        for index, row in enumerate(table.tolist()):
            missing = [channel for channel, other in enumerate(row) if other == index and channel != slices // 2]
            paths = [series[other]["image"] for other in row]
            gathered.append({**series[index], "image": paths, "missing": missing})
    return gathered


def validation_set(
    items: Sequence[Item],
    load: Callable[[Any], Any],
    noise: Callable[[Any], Any],
    *,
    count: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Load the validation images: noisy and clean pairs as they are, clean images with noise that never changes.

    Parameters
    ----------
    items
        Items of a datalist.
    load
        Reads ``image`` and, if present, ``label``; or computes a target as ``label``.
    noise
        Random transform that adds noise to ``image``; applied only to items that are not pairs with a ``label``.
    count
        Largest number of items to use; they are evenly spread over `items`.
    seed
        Seed of the noise.

    Returns
    -------
    list
        Dictionaries with ``image`` and ``label``.
    """
    chosen = [items[i] for i in evenly_spread(len(items), count)]
    loaded = []
    for index, item in enumerate(chosen):
        data = load(item)
        if "label" not in item:
            set_rnd(noise, seed + index)
            data = noise({"label": data["image"], **data})
        loaded.append({key: data[key] for key in ("image", "label")})
    return loaded
