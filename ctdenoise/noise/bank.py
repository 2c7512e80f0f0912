"""A bank of CT noise realisations, simulated once and reused for many training samples."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ctdenoise.noise.lowdose import Kernel, Scan, dose_noise
from ctdenoise.noise.phantom import Ellipsoid, render

#: Rows and columns of the simulated image.
_SIZE = 512
#: Half the sides of the rectangle that is kept, relative to the semi-axes of the ellipse it lies in.
_INSIDE = 0.7


def noise_bank(
    count: int, *, cutoff_per_mm: tuple[float, float] = (0.6, 2.2), seed: int = 0
) -> list[NDArray[np.float32]]:
    """Simulate the noise of scans of water ellipses of random size, pixel spacing and kernel.

    Unlike synthetic Gaussian noise, the noise of a scan is neither white nor stationary nor isotropic.

    Parameters
    ----------
    count
        Number of realisations.
    cutoff_per_mm
        Lowest and highest cut-off frequency of the kernels, which are Hann windows, cycles per mm. Some exceed the
        Nyquist frequency of the image.
    seed
        Seed of the random generator; the same seed gives the same bank.

    Returns
    -------
    list of ndarray
        ``[H, W]`` float32, at least 180 rows and columns, mean 0, standard deviation 1.
    """
    make = partial(_realisation, count=count, cutoff_per_mm=cutoff_per_mm, seed=seed)
    # Spawned, as forking a process that has started torch's threads may deadlock.
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(make, range(count)))


def _realisation(index: int, *, count: int, cutoff_per_mm: tuple[float, float], seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng([seed, index])
    # Cut-off frequencies are evenly spaced on a log scale; size and pixel spacing are random.
    share = (index + 0.5) / count
    kernel = Kernel("hann", float(cutoff_per_mm[0] * (cutoff_per_mm[1] / cutoff_per_mm[0]) ** share))
    pixel_mm = rng.uniform(0.6, 0.95)
    # Semi-axes in pixels: the ellipse fits into the image, and the rectangle that is kept has a minimum size.
    a, b = rng.uniform(180, 240), rng.uniform(130, 190)
    body = [Ellipsoid(x=0, y=0, a=a * pixel_mm, b=b * pixel_mm, delta=1000)]
    water = render(body, 0, size=_SIZE, pixel_mm=pixel_mm, oversample=1)
    noise = dose_noise(water, pixel_mm=pixel_mm, dose=0.5, scan=Scan(photons=1e6, kernel=kernel), rng=rng)
    rows, columns = (slice(_SIZE // 2 - int(_INSIDE * axis), _SIZE // 2 + int(_INSIDE * axis)) for axis in (b, a))
    inside = noise[rows, columns]
    normalised: NDArray[np.float32] = inside / inside.std()
    return normalised
