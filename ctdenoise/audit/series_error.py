"""Error bounds of a series: what is simulated, with which slices they are calibrated, and which are held back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctdenoise.audit.error_bounds import Coverage, ErrorBounds, calibrate, simulate
from ctdenoise.audit.noise_model import measure_noise_model
from ctdenoise.audit.windows import Window, correlation_of, middle
from ctdenoise.errors import InputError
from ctdenoise.inference.strength import automatic_strength
from ctdenoise.noise.lowdose import Scan
from ctdenoise.noise.matching import match_scan
from ctdenoise.noise.measure import evenly_spread

Image = NDArray[np.float32]

#: Share of voxels that bounds hold for.
LEVEL = 0.9
#: Slices in which the simulated scan is matched with the series.
_MATCHED = 6
#: One slice of so many is held back.
_HELD_BACK = 3


@dataclass(frozen=True)
class Calibration:
    """Bounds for a series, and what they were calibrated with.

    Attributes
    ----------
    bounds
        To apply to every slice.
    doses
        Of the source relative to full dose: the expected one, and half of it.
    scan
        That makes the noise of the source.
    used, held_back
        Numbers of slices.
    full_dose, noise_free
        How often the bounds held in simulated images of held-back slices, against the full-dose images of each dose and
        against the anatomy.
    """

    bounds: ErrorBounds
    doses: tuple[float, ...]
    scan: Scan
    used: int
    held_back: int
    full_dose: Sequence[Coverage]
    noise_free: Coverage


def calibrate_series(
    pairs: Sequence[tuple[Window, Window]],
    denoise: Callable[[Window], Image],
    *,
    pixel_mm: float,
    thickness_mm: float | None,
    advance: Callable[[], None] | None = None,
) -> Calibration:
    """Calibrate bounds with simulations of some slices of a series.

    Parameters
    ----------
    pairs
        Source and denoised slice, each with its neighbours: some of a series, evenly spread.
    denoise
        Denoises a slice, given with its neighbours, as the series was denoised.
    pixel_mm, thickness_mm
        Pixel spacing and slice thickness; the latter is None if unknown.
    advance
        Called after each slice.

    Raises
    ------
    InputError
        If the series has too little uniform soft tissue to simulate its noise.
    """
    sources = [middle(source) for source, _ in pairs]
    correlation = correlation_of([source for source, _ in pairs], pixel_mm)
    noise = measure_noise_model(sources, pixel_mm)
    try:
        scan = match_scan([sources[i] for i in evenly_spread(len(sources), _MATCHED)], pixel_mm)
    except InputError as error:
        raise InputError(error.problem) from None  # its hint is for another command
    # The automatic strength is the share of the noise variance that a missing dose made: docs/strength.md. As it leans
    # towards full dose, the dose may be lower, but hardly higher.
    dose = round(1 - automatic_strength(sources, pixel_mm, thickness_mm).strength, 2)
    doses = (dose, dose / 2)
    simulated = []
    for seed, (source, denoised) in enumerate(pairs):
        simulated.append(
            simulate(
                source,
                denoised,
                denoise,
                scan=scan,
                doses=doses,
                pixel_mm=pixel_mm,
                correlation=correlation,
                seed=seed,
            )
        )
        if advance:
            advance()
    held = simulated[_HELD_BACK - 1 :: _HELD_BACK]
    used = [one for index, one in enumerate(simulated) if index % _HELD_BACK != _HELD_BACK - 1]
    bounds = calibrate(used, noise, LEVEL)
    full_dose, noise_free = [Coverage() for _ in doses], Coverage()
    for one in held:
        bound = bounds.bound(one.source, one.denoised)
        for coverage, truth in zip(full_dose, one.full_dose, strict=True):
            coverage.add(bound, one.denoised, truth)
        noise_free.add(bound, one.denoised, one.anatomy)
    return Calibration(bounds, doses, scan, len(used), len(held), full_dose, noise_free)
