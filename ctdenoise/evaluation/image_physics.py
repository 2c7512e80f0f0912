"""CT physics of one image in given places, each quantity with its bootstrap interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctdenoise.evaluation import resolution
from ctdenoise.evaluation.detectability import Observer
from ctdenoise.evaluation.physics_document import ImagePhysics, NoiseSpectrum, TransferFunction
from ctdenoise.evaluation.resampling import Interval, Resampling, interval, weighted_mean
from ctdenoise.evaluation.resolution import Arc, Curve, EdgeProfiles, falling_frequency
from ctdenoise.evaluation.tissues import TissueMeans, insert_contrast
from ctdenoise.noise.measure import MIN_REGIONS, REGION_SIZE, Noise, Region, mean_noise, radial_mean, region_power

Images = Sequence[NDArray[np.float32]]


@dataclass(frozen=True)
class Places:
    """Where physics is measured in some slices.

    Attributes
    ----------
    spacing_mm
        Pixel spacing, or None where it is unknown.
    regions, arcs, masks
        Uniform regions; pieces of skin and tissue masks of each slice.
    discs
        Centre and radius of the inserts, in pixels.
    """

    spacing_mm: float | None
    regions: Sequence[Region]
    arcs: Sequence[Sequence[Arc]]
    masks: Sequence[Mapping[str, NDArray[np.bool_]]]
    discs: Sequence[tuple[tuple[float, float], float]]

    @property
    def unit_mm(self) -> float:
        """Pixel spacing, or 1 where it is unknown."""
        return self.spacing_mm or 1.0

    @property
    def resampling(self) -> Resampling:
        """Resamples of the slices."""
        return Resampling(len(self.masks))


@dataclass(frozen=True)
class _Noises:
    """The noise of an image, and its resamples.

    Attributes
    ----------
    noise
        As measured.
    radial
        ``[401, 17]``: radial spectra, the measured one first.
    std
        ``[401]`` HU.
    """

    noise: Noise
    radial: NDArray[np.float64]
    std: NDArray[np.float64]

    @property
    def resampled(self) -> list[Noise]:
        """The measured noise and its resamples, without two-dimensional spectra."""
        nothing = np.empty(0)
        pairs = zip(self.std, self.radial, strict=True)
        return [Noise(float(std), self.noise.frequency, power, nothing) for std, power in pairs]


def image_physics(places: Places, base: Images, images: Images) -> ImagePhysics:
    """Measure one image.

    Parameters
    ----------
    places
        Where.
    base, images
        ``[H, W]`` HU of each slice: of the image that biases are relative to, and of the one that is measured.
    """
    means = TissueMeans()
    for masks, reference, image in zip(places.masks, base, images, strict=True):
        means.add(masks, reference, image)
    noises, curves = _noises(places, images), _curves(places, images)
    d_primes = _d_primes(places, noises, curves) if noises and places.spacing_mm else []
    cnrs = _cnrs(places, means, noises) if noises else []
    return ImagePhysics(
        tissues=means.statistics(),
        noise=noise_spectrum(places, images),
        d_prime=d_primes[0] if len(d_primes) else None,
        d_prime_ci95=interval(d_primes),
        ttf=_transfer("inserts" if places.discs else "skin", curves) if curves else None,
        cnr_soft_tissue_fat=cnrs[0] if len(cnrs) else None,
        cnr_ci95=interval(cnrs),
        inserts=tuple(insert_contrast(images, *disc) for disc in places.discs),
    )


def noise_spectrum(places: Places, images: Images) -> NoiseSpectrum | None:
    """Measure noise in the uniform regions, or return None where there are too few."""
    found = _noises(places, images)
    if found is None:
        return None
    resampled = found.resampled
    return NoiseSpectrum(
        std_hu=found.noise.std,
        peak_frequency=found.noise.peak_frequency,
        mean_frequency=found.noise.mean_frequency,
        frequency=found.noise.frequency.tolist(),
        nps=found.noise.power.tolist(),
        nps_2d=np.fft.fftshift(found.noise.spectrum).tolist(),
        std_ci95=interval(found.std),
        peak_ci95=interval(one.peak_frequency for one in resampled),
        mean_ci95=interval(one.mean_frequency for one in resampled),
    )


def _noises(places: Places, images: Images) -> _Noises | None:
    if len(places.regions) < MIN_REGIONS:
        return None
    power = region_power(images, places.regions, places.unit_mm)
    weights = places.resampling.weights([index for index, _, _ in places.regions])
    variance = power.sum(axis=(1, 2)) / (REGION_SIZE * places.unit_mm) ** 2
    radial = np.array([radial_mean(one) for one in power])
    return _Noises(
        mean_noise(power, places.unit_mm),
        weighted_mean(weights, radial),
        np.sqrt(weighted_mean(weights, variance)),
    )


def _curves(places: Places, images: Images) -> list[Curve]:
    """Measure the TTF and its resamples, at the inserts, or without any at the skin; none without smooth skin."""
    if places.discs:
        found = [resolution.disc_profiles(images, *disc) for disc in places.discs]
    elif any(places.arcs):
        found = [resolution.skin_profiles(images, places.arcs)]
    else:
        return []
    every = [_resampled_curves(places, profiles) for profiles in found]
    return [_mean_curve(curves) for curves in zip(*every, strict=True)]


def _resampled_curves(places: Places, profiles: EdgeProfiles) -> list[Curve]:
    weights = places.resampling.weights(profiles.slices)
    nothing = np.full_like(profiles.transfer(places.unit_mm)[0], np.nan)
    return [
        profiles.transfer(places.unit_mm, row) if row.any() else (profiles.transfer(places.unit_mm)[0], nothing)
        for row in weights
    ]


def _mean_curve(curves: Sequence[Curve]) -> Curve:
    return curves[0][0], np.mean([transfer for _, transfer in curves], axis=0)


def _transfer(at: str, curves: Sequence[Curve]) -> TransferFunction:
    finite = [curve for curve in curves if np.isfinite(curve[1]).all()]
    (half, half_ci95), (tenth, tenth_ci95) = (_falling(curves[0], finite, level) for level in (0.5, 0.1))
    return TransferFunction(
        at="inserts" if at == "inserts" else "skin",
        frequency=curves[0][0].tolist(),
        ttf=curves[0][1].tolist(),
        ttf50=half,
        ttf10=tenth,
        ttf50_ci95=half_ci95,
        ttf10_ci95=tenth_ci95,
    )


def _falling(curve: Curve, curves: Sequence[Curve], level: float) -> tuple[float, Interval | None]:
    """Return where a TTF falls to a level, and the interval; none at the Nyquist frequency, which measures nothing."""
    found = falling_frequency(*curve, level=level)
    if found == curve[0][-1]:
        return found, None
    return found, interval(falling_frequency(*one, level=level) for one in curves)


def _d_primes(places: Places, noises: _Noises, curves: Sequence[Curve]) -> list[float]:
    """Return d′ and its resamples: of noise and, if it was measured, TTF."""
    observer = Observer(places.unit_mm)
    frequency = noises.noise.frequency
    if not curves:
        return [observer(frequency, power) for power in noises.radial]
    count = min(len(noises.radial), len(curves))
    return [observer(frequency, noises.radial[i], curves[i]) for i in range(count)]


def _cnrs(places: Places, means: TissueMeans, noises: _Noises) -> list[float]:
    """Return the CNR of soft tissue and fat, and its resamples; none where one of them is absent."""
    if not {"soft tissue", "fat"} <= set(means.statistics()):
        return []
    weights = places.resampling.weights(range(len(places.masks)))
    soft, fat = (means.means(tissue, weights)[0] for tissue in ("soft tissue", "fat"))
    count = min(len(soft), len(noises.std))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (soft[:count] - fat[:count]) / noises.std[:count]
    return [float(ratio) for ratio in ratios]
