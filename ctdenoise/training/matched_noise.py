"""Simulated noise that matches the noise of each training slice in strength and texture."""

from __future__ import annotations

import hashlib
import io
import logging
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctdenoise.errors import InputError
from ctdenoise.files import write_whole
from ctdenoise.io.dicom import CTSlice, read_slice
from ctdenoise.noise.lowdose import Kernel, Scan, dose_noise
from ctdenoise.noise.matching import match_scan
from ctdenoise.noise.measure import (
    ANATOMY_PER_MM,
    MIN_REGIONS,
    Region,
    evenly_spread,
    measure_noise,
    uniform_regions,
)
from ctdenoise.training.datasets import Item

logger = logging.getLogger(__name__)

#: Photons per ray in the simulation; afterwards the simulated noise is scaled to the measured strength.
_PHOTONS = 1e6
#: Number of neighbouring slices whose uniform regions give the noise strength of a slice.
_NEIGHBOURS = 9


def simulate_matched_noise(items: Sequence[Item], folder: str | Path, *, seed: int = 0) -> list[Item]:
    """Simulate, for each slice, noise of the same strength and texture behind the same patient.

    Parameters
    ----------
    items
        CT slices, each with ``image`` and ``series``, as :func:`~ctdenoise.training.datasets.prepare` lists them.
    folder
        Folder of the noise files, half a megabyte for each slice; a resumed training finds them there.
    seed
        Seed of the noise.

    Returns
    -------
    list
        The items, each with ``noise``, the path of a ``.npy`` file of ``[H, W]``, and ``noise_scale``, the factor that
        converts it to HU. Series with too little uniform soft tissue to measure their noise are left out and named in
        the log.

    Raises
    ------
    InputError
        If all series are left out.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    series = [list(group) for _, group in groupby(items, key=lambda item: item["series"])]
    kept: list[Item] = []
    # A fork of a process that uses torch may hang, so processes are spawned.
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        for kernel, group in zip(pool.map(_kernel, series), series, strict=True):
            if isinstance(kernel, str):
                logger.warning("%s: left out of the training: %s", Path(group[0]["image"][0]).parent, kernel)
                continue
            simulated = list(pool.map(partial(_simulate, root=root, kernel=kernel, seed=seed), group))
            ratios = [of_slice for _, of_slice in simulated]
            kept += [
                {**item, "noise": path, "noise_scale": _scale(ratios, index)}
                for index, (item, (path, _)) in enumerate(zip(group, simulated, strict=True))
            ]
    if not kept:
        raise InputError("expected uniform soft tissue to measure noise in, found none", path=items[0]["image"][0])
    return kept


def _kernel(items: Sequence[Item]) -> Kernel | str:
    """Return the kernel that reproduces the noise texture of a series, or why it cannot be determined."""
    slices = [read_slice(Path(items[i]["image"][0])) for i in evenly_spread(len(items), 8)]
    try:
        return match_scan([one.hu for one in slices], _pixel_mm(slices[0]), photons=_PHOTONS).kernel
    except InputError as error:
        return error.reason


def _pixel_mm(one: CTSlice) -> float:
    if one.pixel_spacing_mm is None:
        raise InputError("expected the pixel spacing, found none", path=one.path, tag="PixelSpacing (0028,0030)")
    return one.pixel_spacing_mm


def _simulate(item: Item, *, root: Path, kernel: Kernel, seed: int) -> tuple[str, list[float]]:
    """Simulate noise for a slice, unless its file exists.

    Returns
    -------
    tuple
        Path of the file, and the slice's noise relative to the simulated noise in each uniform region.
    """
    digest = hashlib.sha256(f"{seed}/{kernel!r}/{item['image'][0]}".encode())
    path = root / f"{digest.hexdigest()[:32]}.npy"
    one = read_slice(Path(item["image"][0]))
    if not path.exists():
        scan = Scan(photons=_PHOTONS, electronic=0, kernel=kernel)
        rng = np.random.default_rng(list(digest.digest()))
        # At half of the dose the added noise has the same variance as the noise of the slice.
        noise = dose_noise(one.hu, pixel_mm=_pixel_mm(one), dose=0.5, scan=scan, rng=rng)
        content = io.BytesIO()
        np.save(content, noise.astype(np.float16))
        write_whole(path, content.getvalue())
    images = [one.hu, np.load(path).astype(np.float32)]

    def std(image: NDArray[np.float32], region: Region) -> float:
        return measure_noise([image], [region], _pixel_mm(one)).above(ANATOMY_PER_MM).std

    return str(path), [std(images[0], region) / std(images[1], region) for region in uniform_regions(images[:1])]


def _scale(ratios: Sequence[Sequence[float]], index: int) -> float:
    """Return the noise of a slice relative to the simulated noise.

    Parameters
    ----------
    ratios
        For each slice of the series, the ratio in each of its uniform regions.
    index
        The slice.

    Returns
    -------
    float
        Median over the uniform regions of the nearest slices, which makes it robust against regions with structure.
    """
    nearest = sorted(range(len(ratios)), key=lambda i: abs(i - index))
    selected = [ratio for i in nearest[:_NEIGHBOURS] for ratio in ratios[i]]
    for i in nearest[_NEIGHBOURS:]:
        if len(selected) >= MIN_REGIONS:
            break
        selected += ratios[i]
    return float(np.median(selected))
