"""A lower dose, simulated in the projections of an image."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from ctdenoise.errors import InputError
from ctdenoise.inference.process import Place, Process, ProcessFor, Sample
from ctdenoise.noise.lowdose import Kernel, dose_noise
from ctdenoise.noise.measure import match_scan


def low_dose(
    dose: float,
    *,
    photons: float | None = None,
    electronic: float = 10.0,
    kernel: Kernel | None = None,
    seed: int = 0,
) -> ProcessFor:
    """Return the process that adds the noise of a lower dose; see :func:`~ctdenoise.noise.lowdose.dose_noise`.

    Parameters
    ----------
    dose
        Above 0 and below 1: that of the result, relative to the source's.
    photons, electronic, kernel
        Of the source's scan, as in :class:`~ctdenoise.noise.lowdose.Scan`. Photons and kernel that are not given are
        those that make the noise measured in the series itself; photons that are measured follow the tube current of
        each slice, where all tell it.
    seed
        Together with an image's UID it determines the noise.

    Raises
    ------
    ValueError
        If the dose is out of range.
    InputError
        When it meets a series that does not tell its pixel spacing, or has no uniform regions to measure in.
    """
    if not 0 < dose < 1:
        raise ValueError(f"dose: expected a value above 0 and below 1, found {dose}")

    def process_for(sample: Callable[[], Sample], slices: int) -> Process:
        images, places = sample()
        if not images:
            raise InputError("expected slices, found none that can be read")
        currents = [place.tube_current_ma for place in places if place.tube_current_ma]
        # Photons that are told hold for all slices.
        mean = sum(currents) / len(currents) if photons is None and len(currents) == len(places) else None
        scan = match_scan(
            images,
            _spacing(places[0]),
            kernel=kernel,
            photons=photons,
            electronic=electronic,
            currents=[current / mean for current in currents] if mean else None,
        )

        def one(hu: NDArray[np.float32], place: Place) -> NDArray[np.float32]:
            digest = hashlib.sha256(f"{seed}/{place.name}".encode()).digest()
            rng = np.random.default_rng(list(digest))
            relative = place.tube_current_ma / mean if mean and place.tube_current_ma else 1.0
            here = replace(scan, photons=scan.photons * relative)
            noise = dose_noise(hu, pixel_mm=_spacing(place), dose=dose, scan=here, rng=rng)
            noisy: NDArray[np.float32] = hu + noise
            return noisy

        def apply(hu: NDArray[np.float32], places: Sequence[Place]) -> NDArray[np.float32]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                return np.stack(list(pool.map(one, hu, places)))

        given = {"dose": dose, "photons": photons, "electronic": electronic, "kernel": kernel, "seed": seed}
        at = f" at {mean:.4g} mA" if mean else ""
        cutoff = f" cut off at {scan.kernel.cutoff_per_mm:g} cycles/mm" if scan.kernel.cutoff_per_mm else ""
        return Process(
            name="low-dose simulation",
            identity=f"simulation/{given!r}",
            done=f"{dose:.3g} of the dose simulated",
            summary=(
                f"Noise of {dose:.3g} of the dose inserted in projections (parallel beam, {scan.photons:.3g} photons"
                f"{at}, electronic noise {electronic:g}, kernel {scan.kernel.window}{cutoff}, seed {seed})"
            ),
            series_offset=2000,
            entry={"simulation": {"dose": dose, "seed": seed, **asdict(scan), "tube_current_ma": mean}},
            device="cpu",
            batch_size=lambda: os.cpu_count() or 1,
            ran=dict,
            apply=apply,
        )

    return process_for


def _spacing(place: Place) -> float:
    if place.pixel_mm is None:
        raise InputError("expected the pixel spacing, found none", tag="PixelSpacing (0028,0030)")
    return place.pixel_mm
