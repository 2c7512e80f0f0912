"""Where a virtual phantom is built: slices of a scan, places in them, its resolution and its noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude

from ctdenoise.audit.inserts import SIDE, Curve, Image, around, spaced, with_inserts
from ctdenoise.audit.observers import pixel_spectrum
from ctdenoise.audit.windows import Window, correlation_of, middle
from ctdenoise.errors import InputError
from ctdenoise.evaluation import resolution
from ctdenoise.inference.denoiser import Denoiser
from ctdenoise.noise.measure import MIN_REGIONS, REGION_SIZE, SOFT_TISSUE_HU, Region, region_power, uniform_regions

#: Slices, and lesions of each kind of place in a slice.
_SLICES, _LESIONS = 3, 8
#: Resolution where there is no smooth skin to measure it at: a Gaussian of this standard deviation, mm.
_ASSUMED_BLUR_MM = 0.5

Denoise = Callable[[Window], Image]


@dataclass(frozen=True)
class AtStrength:
    """Denoises a slice, given with its neighbours, with one model at one strength."""

    denoiser: Denoiser
    strength: float

    def __call__(self, window: Window) -> Image:
        """Return the denoised slice, ``[H, W]`` HU, of ``[N, H, W]``."""
        denoised: Image = self.denoiser.denoise_slices(window[None], self.strength)[0]
        return denoised


@dataclass(frozen=True)
class Bench:
    """Slices of a scan, and the places in them.

    Attributes
    ----------
    windows
        Slices with their neighbours.
    pixel_mm
        Pixel spacing.
    correlation
        Of the noise of neighbours, from 0 to 0.7.
    regions
        Uniform regions, in which noise is measured.
    places
        By kind (``uniform``, ``structured``), for each slice: centres of lesions.
    ttf, measured_ttf
        Resolution of the scan, and whether it was measured.
    denoise
        Maps a slice, given with its neighbours, to a denoised one.
    """

    windows: Sequence[Window]
    pixel_mm: float
    correlation: float
    regions: Sequence[Region]
    places: Mapping[str, Sequence[Sequence[tuple[int, int]]]]
    ttf: Curve
    measured_ttf: bool
    denoise: Denoise

    @property
    def slices(self) -> list[Image]:
        """The slices themselves, ``[H, W]`` HU each."""
        return [middle(window) for window in self.windows]

    @cached_property
    def denoised(self) -> list[Image]:
        """The slices as they are, denoised."""
        return [self.denoise(window) for window in self.windows]

    def spectra(self, images: Sequence[Image]) -> NDArray[np.float64]:
        """Return the noise spectrum of each uniform region, for observers."""
        powers = region_power(images, self.regions, self.pixel_mm)
        return np.stack([pixel_spectrum(power, self.pixel_mm, SIDE) for power in powers])

    def responses(
        self, patch: NDArray[np.float64], windows: Sequence[Window], without: Sequence[Image]
    ) -> dict[str, NDArray[np.float64]]:
        """Return by kind of place what is left of each lesion after denoising, ``[N, 64, 64]`` HU.

        A lesion is as long as the neighbours reach: it is inserted into them, too.

        Parameters
        ----------
        patch
            The lesion, ``[64, 64]`` HU.
        windows
            Slices with their neighbours, as of this bench.
        without
            The denoised slices without lesions.
        """
        found: dict[str, list[NDArray[np.float64]]] = {kind: [] for kind in self.places}
        for index, (window, plain) in enumerate(zip(windows, without, strict=True)):
            everywhere = [place for kind in self.places for place in self.places[kind][index]]
            difference = self.denoise(with_inserts(window, patch, everywhere)) - plain
            for kind in self.places:
                found[kind] += [difference[around(*place)].astype(np.float64) for place in self.places[kind][index]]
        return {kind: np.stack(patches) for kind, patches in found.items() if patches}


def make_bench(
    sample: Sequence[Window], pixel_mm: float, denoise: Denoise, regions: Sequence[Region] | None = None
) -> Bench:
    """Choose slices and places for lesions in some slices of a series.

    Parameters
    ----------
    sample
        Slices with their neighbours.
    pixel_mm
        Pixel spacing.
    denoise
        Denoises a slice, given with its neighbours.
    regions
        Uniform regions of the sample that were found without looking at their noise
        (:func:`~ctdenoise.evaluation.physics.noise_regions`): regions that look uniform in the sample itself have less
        noise than others by chance, which a simulated dose does not repeat. None finds them in the sample.

    Raises
    ------
    InputError
        If there is too little uniform soft tissue.
    """
    clean = [np.clip(np.nan_to_num(one, nan=-1024.0), -1024, 3072).astype(np.float32) for one in sample]
    regions = uniform_regions([middle(one) for one in clean]) if regions is None else regions
    counts = np.bincount([region[0] for region in regions], minlength=len(clean))
    chosen = sorted(np.argsort(-counts, kind="stable")[:_SLICES].tolist())
    kept = [(chosen.index(i), row, column) for i, row, column in regions if i in chosen]
    windows = [clean[i] for i in chosen]
    slices = [middle(one) for one in windows]
    half = REGION_SIZE // 2
    uniform, structured = [], []
    for index, image in enumerate(slices):
        centres = [(row + half, column + half) for i, row, column in kept if i == index]
        uniform.append(spaced(centres, image.shape, _LESIONS))
        others = [place for place in _structured(image, index) if _apart(place, uniform[-1])]
        structured.append(spaced(others, image.shape, _LESIONS))
    if len(kept) < MIN_REGIONS or not any(uniform):
        raise InputError(
            f"expected at least {MIN_REGIONS} uniform regions of soft tissue to insert lesions into, found {len(kept)}"
        )
    arcs = [resolution.skin_arcs(image) for image in slices]
    measured = any(arcs)
    ttf = resolution.skin_ttf(slices, arcs, pixel_mm) if measured else _assumed_ttf(pixel_mm)
    places = {"uniform": uniform, "structured": structured}
    return Bench(windows, pixel_mm, correlation_of(windows, pixel_mm), kept, places, ttf, measured, denoise)


def _structured(image: Image, seed: int) -> list[tuple[int, int]]:
    """Return places of soft tissue near edges, in random order."""
    smooth = gaussian_filter(image, 3.0)
    soft = (smooth > SOFT_TISSUE_HU[0]) & (smooth < SOFT_TISSUE_HU[1])
    if not soft.any():
        return []
    gradient = gaussian_gradient_magnitude(np.clip(image, -300, 300), 2.0)
    places = np.argwhere(soft & (gradient > np.percentile(gradient[soft], 75)))
    chosen = np.random.default_rng(seed).permutation(len(places))[:2000]
    return [(int(row), int(column)) for row, column in places[chosen]]


def _apart(place: tuple[int, int], others: Sequence[tuple[int, int]]) -> bool:
    return all(max(abs(place[0] - row), abs(place[1] - column)) >= SIDE for row, column in others)


def _assumed_ttf(pixel_mm: float) -> Curve:
    frequency = np.linspace(0, 0.5 / pixel_mm * np.sqrt(2), 64)
    return frequency, np.exp(-2 * (np.pi * _ASSUMED_BLUR_MM * frequency) ** 2)
