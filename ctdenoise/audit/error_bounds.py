"""Bounds on the error of a denoised slice, calibrated by low-dose simulations of the series itself.

Split conformal prediction with groups (Mondrian): Vovk, Conditional validity of inductive conformal predictors, 2012;
Angelopoulos & Bates, Conformal Prediction: A Gentle Introduction, 2023, section 4.1. ``docs/audit.md`` says what is
bounded, and what that assumes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

from ctdenoise.audit.noise_model import NoiseModel
from ctdenoise.audit.windows import Window, dose_noise_of, middle
from ctdenoise.noise.lowdose import Scan

Image = NDArray[np.float32]

#: Tissues and the smoothed HU at which the next one begins.
TISSUES = ("air", "lung", "soft tissue", "bone")
_LIMITS_HU = (-950.0, -500.0, 200.0)
#: Standard deviation of the Gaussian that takes noise out before tissue is told by its HU, pixels.
_SMOOTHING = 1.5
#: Groups of local noise in each tissue, with as many pixels each.
_NOISE_GROUPS = 4
#: Fewest pixels that a group is calibrated with.
_FEWEST = 1000
#: Side of a square that has no signal if all of it has one value, of air or less, HU; pixels.
_NO_SIGNAL, _AIR_HU = 5, -1000.0
#: Least local noise that is believed, in units of the scan's: beside padding, less would be measured.
_LEAST_NOISE = 0.2


@dataclass(frozen=True)
class Simulated:
    """A low-dose image that was made like a slice, and what is known of it because of that; ``[H, W]`` HU each.

    Attributes
    ----------
    source
        The slice, in which local noise is measured: the image that was made has noise that denoising left, too.
    denoised
        The image that was made, denoised as the series was.
    full_dose
        Of the same anatomy and exposure at full dose, for each dose that the source may have relative to it: full-dose
        noise is part of the source's.
    anatomy
        Without simulated noise.
    """

    source: Image
    denoised: Image
    full_dose: Sequence[Image]
    anatomy: Image


def simulate(
    source: Window,
    denoised: Window,
    denoise: Callable[[Window], Image],
    *,
    scan: Scan,
    doses: Sequence[float],
    pixel_mm: float,
    correlation: float,
    seed: int,
) -> Simulated:
    """Make a low-dose image like a slice of the series, whose anatomy is the denoised slice.

    Parameters
    ----------
    source, denoised
        A slice of the series with its neighbours; where the source has no signal, nothing is added.
    denoise
        Denoises a slice, given with its neighbours, as the series was denoised.
    scan
        That makes the noise of the source, from :func:`~ctdenoise.noise.matching.match_scan`.
    doses
        Of the source relative to full dose, above 0, below 1.
    pixel_mm
        Pixel spacing.
    correlation
        Of the noise of neighbours, from 0 to 0.7.
    seed
        Of the noise.
    """
    # Halving a dose adds as much quantum noise as there was, and three times the variance of electronic noise.
    halved = replace(scan, electronic=scan.electronic / np.sqrt(3))
    signal = np.stack([~without_signal(one) for one in source])
    add = partial(dose_noise_of, pixel_mm=pixel_mm, dose=0.5, scan=halved, correlation=correlation)
    noise = add(denoised, rng=np.random.default_rng([seed, 0])) * signal
    limits = float(source.min()), float(source.max())
    low_dose = np.clip(denoised + noise, *limits)
    anatomy, own = middle(denoised), middle(noise)
    other = middle(add(anatomy[None], rng=np.random.default_rng([seed, 1])) * signal[len(signal) // 2])
    # Of noise n, the part that was there at full dose has the variance d and the covariance d with n.
    full_dose = [np.clip(anatomy + d * own + np.sqrt(d * (1 - d)) * other, *limits) for d in doses]
    return Simulated(middle(source), denoise(low_dose), [one.astype(np.float32) for one in full_dose], anatomy)


def without_signal(source: Image) -> NDArray[np.bool_]:
    """Return where a slice has one value all around, of air or less: padding, or air that was cut off."""
    highest = maximum_filter(source, _NO_SIGNAL)
    nothing: NDArray[np.bool_] = (highest == minimum_filter(source, _NO_SIGNAL)) & (highest <= _AIR_HU)
    return nothing


def _local_noise(source: Image, noise: NoiseModel) -> Image:
    """Return the local noise of a slice, HU."""
    local: Image = np.maximum(noise.local_std(source), np.float32(_LEAST_NOISE * noise.std))
    return local


def tissue_of(denoised: Image) -> NDArray[np.intp]:
    """Return the index in :data:`TISSUES` of each pixel of a denoised slice."""
    tissue: NDArray[np.intp] = np.digitize(gaussian_filter(denoised, _SMOOTHING), _LIMITS_HU)
    return tissue


@dataclass(frozen=True)
class ErrorBounds:
    """Calibrated bounds: a factor for each tissue and group of local noise, times the local noise.

    Attributes
    ----------
    noise
        Of the source series; measures local noise.
    limits
        For each tissue the local noise, HU, at which the next group begins, ascending.
    factors
        For each tissue and group, in multiples of the local noise.
    """

    noise: NoiseModel
    limits: Mapping[str, Sequence[float]]
    factors: Mapping[str, Sequence[float]]

    def bound(self, source: Image, denoised: Image) -> Image:
        """Return the bound at each pixel of a slice, ``[H, W]`` HU; 0 where the source has no signal.

        Parameters
        ----------
        source, denoised
            ``[H, W]`` HU.
        """
        local, tissue = _local_noise(source, self.noise), tissue_of(denoised)
        bound = np.zeros_like(local)
        for index, name in enumerate(TISSUES):
            chosen = tissue == index
            group = np.digitize(local[chosen], self.limits[name])
            bound[chosen] = np.asarray(self.factors[name])[group] * local[chosen]
        bound[without_signal(source)] = 0
        return bound


def calibrate(simulated: Iterable[Simulated], noise: NoiseModel, level: float) -> ErrorBounds:
    """Find the factors that bound the error of simulated images with the frequency `level`, at each dose.

    A tissue, or a group of local noise in it, that has too few pixels takes the factor of all pixels.

    Parameters
    ----------
    simulated
        Images of slices of the series; at least one.
    noise
        Of the source series.
    level
        E.g. 0.9.
    """
    parts = [_scores(one, noise) for one in simulated]
    scores = np.concatenate([part[0] for part in parts], axis=1)
    local, tissue = np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts])
    overall = _quantile(scores, level)
    limits: dict[str, list[float]] = {}
    factors: dict[str, list[float]] = {}
    for index, name in enumerate(TISSUES):
        chosen = tissue == index
        if np.count_nonzero(chosen) < _NOISE_GROUPS * _FEWEST:
            limits[name], factors[name] = [], [_quantile(scores[:, chosen], level, otherwise=overall)]
            continue
        limits[name] = [float(x) for x in np.quantile(local[chosen], np.arange(1, _NOISE_GROUPS) / _NOISE_GROUPS)]
        group = np.digitize(local[chosen], limits[name])
        found = [scores[:, chosen][:, group == g] for g in range(_NOISE_GROUPS)]
        factors[name] = [_quantile(one, level, otherwise=overall) for one in found]
    return ErrorBounds(noise, limits, factors)


def _scores(one: Simulated, noise: NoiseModel) -> tuple[NDArray[np.float64], Image, NDArray[np.intp]]:
    """Return errors at each dose over local noise, local noise, and tissue, where the source has a signal."""
    signal = ~without_signal(one.source)
    local = _local_noise(one.source, noise)[signal]
    errors = np.stack([np.abs(one.denoised - truth)[signal] for truth in one.full_dose])
    return errors / np.float64(local), local, tissue_of(one.denoised)[signal]


def _quantile(scores: NDArray[np.float64], level: float, *, otherwise: float = 0.0) -> float:
    """Return the largest conformal quantile of ``[D, n]`` scores: the ⌈(n + 1) · level⌉-th smallest of n."""
    count = scores.shape[1]
    if count < _FEWEST:
        return otherwise
    rank = min(int(np.ceil((count + 1) * level)), count) - 1
    return float(np.partition(scores, rank, axis=1)[:, rank].max())


@dataclass
class Coverage:
    """How often the bounds held, by tissue of the denoised slice.

    Attributes
    ----------
    pixels, held
        Counts for each of :data:`TISSUES`.
    """

    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(TISSUES), np.int64))
    held: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(TISSUES), np.int64))

    def add(self, bound: Image, denoised: Image, truth: Image) -> NDArray[np.float64]:
        """Count the pixels of a slice that have a bound, ``[H, W]`` HU each; return the sum of bounds by tissue."""
        bounded = bound > 0
        tissue = tissue_of(denoised)[bounded]
        held = (np.abs(denoised - truth) <= bound)[bounded]
        self.pixels += np.bincount(tissue, minlength=len(TISSUES))
        self.held += np.bincount(tissue[held], minlength=len(TISSUES))
        return np.bincount(tissue, bound[bounded], minlength=len(TISSUES)).astype(np.float64)

    def shares(self) -> dict[str, float]:
        """Return the share of pixels within their bound, of each tissue with enough pixels."""
        counts = zip(TISSUES, self.held, self.pixels, strict=True)
        return {name: float(held / pixels) for name, held, pixels in counts if pixels >= _FEWEST}
