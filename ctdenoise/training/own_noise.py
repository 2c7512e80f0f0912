"""Noise like the one that a slice has already, simulated for each slice that is trained on."""

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
from ctdenoise.noise.measure import (
    ANATOMY_PER_MM,
    FEWEST,
    Region,
    evenly_spread,
    match_scan,
    measure_noise,
    uniform_regions,
)
from ctdenoise.training.datasets import Item

logger = logging.getLogger(__name__)

#: Of a kernel that noise is simulated with; how much noise there is, is measured afterwards.
_PHOTONS = 1e6
#: Slices about one, in whose uniform regions the noise of that one is measured.
_AROUND = 9


def own_noise(items: Sequence[Item], folder: str | Path, *, seed: int = 0) -> list[Item]:
    """Simulate noise like that of each slice: as much, of the same texture, behind the same patient.

    Parameters
    ----------
    items
        CT slices, each with ``image`` and ``series``, as :func:`~ctdenoise.training.datasets.prepare` lists them.
    folder
        Where the noise is kept, so that a training that goes on need not make it again; half a megabyte a slice.
    seed
        Of the noise.

    Returns
    -------
    list
        The items, each with ``noise``, the path of a ``.npy`` of ``[H, W]``, and ``noise_scale``, which makes HU of it.
        Series in which there is too little uniform soft tissue to measure noise in are left out, and named in the log.

    Raises
    ------
    InputError
        If no series is left.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    series = [list(group) for _, group in groupby(items, key=lambda item: item["series"])]
    kept: list[Item] = []
    # Spawned: forking a process that runs torch may hang.
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        for kernel, group in zip(pool.map(_kernel, series), series, strict=True):
            if isinstance(kernel, str):
                logger.warning("%s: left out of the training: %s", Path(group[0]["image"][0]).parent, kernel)
                continue
            made = list(pool.map(partial(_make, root=root, kernel=kernel, seed=seed), group))
            ratios = [there for _, there in made]
            kept += [
                {**item, "noise": path, "noise_scale": _scale(ratios, index)}
                for index, (item, (path, _)) in enumerate(zip(group, made, strict=True))
            ]
    if not kept:
        raise InputError("expected uniform soft tissue to measure noise in, found none", path=items[0]["image"][0])
    return kept


def _kernel(items: Sequence[Item]) -> Kernel | str:
    slices = [read_slice(Path(items[i]["image"][0])) for i in evenly_spread(len(items), 8)]
    try:
        return match_scan([one.hu for one in slices], _pixel_mm(slices[0]), photons=_PHOTONS).kernel
    except InputError as error:
        return error.reason


def _pixel_mm(one: CTSlice) -> float:
    if one.pixel_mm is None:
        raise InputError("expected the pixel spacing, found none", path=one.path, tag="PixelSpacing (0028,0030)")
    return one.pixel_mm


def _make(item: Item, *, root: Path, kernel: Kernel, seed: int) -> tuple[str, list[float]]:
    """Simulate the noise of a slice; return its path, and the slice's own relative to it in each uniform region."""
    digest = hashlib.sha256(f"{seed}/{kernel!r}/{item['image'][0]}".encode())
    path = root / f"{digest.hexdigest()[:32]}.npy"
    one = read_slice(Path(item["image"][0]))
    if not path.exists():
        scan = Scan(photons=_PHOTONS, electronic=0, kernel=kernel)
        rng = np.random.default_rng(list(digest.digest()))
        # At half the dose, as much noise is added as there is.
        noise = dose_noise(one.hu, pixel_mm=_pixel_mm(one), dose=0.5, scan=scan, rng=rng)
        content = io.BytesIO()
        np.save(content, noise.astype(np.float16))
        write_whole(path, content.getvalue())
    images = [one.hu, np.load(path).astype(np.float32)]

    def std(image: NDArray[np.float32], region: Region) -> float:
        return measure_noise([image], [region], _pixel_mm(one)).above(ANATOMY_PER_MM).std

    return str(path), [std(images[0], region) / std(images[1], region) for region in uniform_regions(images[:1])]


def _scale(ratios: Sequence[Sequence[float]], index: int) -> float:
    """Return how much noisier a slice is than simulated: the median of the regions about it that structure spares."""
    near = sorted(range(len(ratios)), key=lambda i: abs(i - index))
    wanted = [ratio for i in near[:_AROUND] for ratio in ratios[i]]
    for i in near[_AROUND:]:
        if len(wanted) >= FEWEST:
            break
        wanted += ratios[i]
    return float(np.median(wanted))
