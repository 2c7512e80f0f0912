"""CT physics of each image: noise power spectrum, task transfer function, d′, tissues, and what was removed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctdenoise.evaluation import resolution
from ctdenoise.evaluation.detectability import TASK, detectability
from ctdenoise.evaluation.document import (
    ImagePhysics,
    Insert,
    NoiseSpectrum,
    Physics,
    RemovedNoise,
    Task,
    TissueStatistics,
    TransferFunction,
)
from ctdenoise.evaluation.pairing import NOISY, REFERENCE, AlignedStacks
from ctdenoise.evaluation.removed_noise import removed_noise
from ctdenoise.evaluation.stacks import Stack
from ctdenoise.evaluation.tissues import TissueMeans, insert_contrast, tissue_masks
from ctdenoise.noise.measure import MIN_REGIONS, Noise, Region, evenly_spread, measure_noise
from ctdenoise.noise.regions import series_regions

#: Most slices that physics is measured in.
MOST_SLICES = 16

Images = Sequence[NDArray[np.float32]]
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class _Sample:
    """The slices that physics is measured in, and where in them.

    Attributes
    ----------
    images
        ``[H, W]`` HU of each slice, by name of the image; skin and tissues are found in the first.
    spacing_mm
        Pixel spacing, or 1 where it is unknown.
    regions, arcs, masks
        Uniform regions; pieces of skin and tissue masks of each slice.
    discs
        Centre and radius of the inserts, in pixels.
    """

    images: Mapping[str, Images]
    spacing_mm: float
    regions: Sequence[Region]
    arcs: Sequence[Sequence[resolution.Arc]]
    masks: Sequence[Mapping[str, NDArray[np.bool_]]]
    discs: Sequence[tuple[tuple[float, float], float]]

    @property
    def base(self) -> Images:
        """Slices of the first image."""
        return next(iter(self.images.values()))

    def noise(self, images: Images) -> Noise | None:
        """Measure noise in the uniform regions, or return None where there are too few."""
        return measure_noise(images, self.regions, self.spacing_mm) if len(self.regions) >= MIN_REGIONS else None


def measure_physics(aligned: AlignedStacks, inserts: Sequence[Insert] = ()) -> Physics:
    """Measure CT physics in at most 16 slices, evenly spread.

    Parameters
    ----------
    aligned
        Stacks of HU. Skin and tissues are found in the first; uniform regions in the noisy series, whether there is a
        reference or not, so that the noise of a series is one number, or in the first where none is noisy.
    inserts
        Where TTF, contrast and CNR are measured; without any, TTF is measured at the skin.

    Raises
    ------
    InputError
        If a slice cannot be read.
    """
    spacing_mm = aligned.base.pixel_spacing_mm
    sample = _sample(aligned, inserts)
    images = sample.images
    return Physics(
        slices=len(sample.base),
        regions=len(sample.regions),
        arcs=sum(map(len, sample.arcs)),
        measured_where=next(iter(images)),
        regions_found_in=_noise_series(images),
        pixel_mm=spacing_mm,
        frequency_unit="1/mm" if spacing_mm else "1/pixel",
        task=Task(diameter_mm=TASK[0], contrast_hu=TASK[1]),
        inserts=tuple(inserts),
        images={name: _image_physics(sample, image, spacing_mm) for name, image in images.items()},
        residual={
            name: _removed(sample, name) for name in images if NOISY in images and name not in (NOISY, REFERENCE)
        },
    )


def _sample(aligned: AlignedStacks, inserts: Sequence[Insert]) -> _Sample:
    indices = evenly_spread(len(aligned), MOST_SLICES)
    slices = [aligned.read(index) for index in indices]
    images = {name: [one[name] for one in slices] for name in aligned.stacks}
    base = next(iter(images.values()))
    spacing_mm = aligned.base.pixel_spacing_mm or 1.0
    return _Sample(
        images=images,
        spacing_mm=spacing_mm,
        regions=_regions(aligned, indices),
        arcs=[resolution.skin_arcs(image) for image in base],
        masks=[tissue_masks(image) for image in base],
        discs=[((insert.row, insert.column), insert.radius_mm / spacing_mm) for insert in inserts],
    )


def _regions(aligned: AlignedStacks, indices: Sequence[int]) -> list[Region]:
    """Find uniform regions of the slices with these indices, in the neighbouring slices of the noisy series."""
    name = _noise_series(aligned.stacks)
    stack, places = aligned.stacks[name], [aligned.matches[index][name] for index in indices]
    found = {number: _neighbours(stack, place) for number, place in enumerate(places)}
    if all(found.values()):
        means = {number: np.mean(images, axis=0) for number, images in found.items()}
        return series_regions(means)
    return series_regions({number: stack.read(place) for number, place in enumerate(places)}, independent=False)


def _noise_series(images: Collection[str]) -> str:
    """Return the name of the image that uniform regions are found in."""
    return NOISY if NOISY in images else next(iter(images))


def _neighbours(stack: Stack, place: int) -> list[NDArray[np.float32]]:
    """Return the slices before and after one, without those that are missing or of another size."""
    images = [stack.read(one) for one in (place - 1, place + 1) if 0 <= one < len(stack.slices)]
    shape = stack.read(place).shape if images else None
    return [image for image in images if image.shape == shape]


def _image_physics(sample: _Sample, images: Images, pixel_spacing_mm: float | None) -> ImagePhysics:
    means = TissueMeans()
    for masks, reference, image in zip(sample.masks, sample.base, images, strict=True):
        means.add(masks, reference, image)
    tissues, noise, curve = means.statistics(), sample.noise(images), _transfer(sample, images)
    return ImagePhysics(
        tissues=tissues,
        noise=_spectrum(noise) if noise else None,
        d_prime=detectability(noise, pixel_spacing_mm, ttf=curve) if noise and pixel_spacing_mm else None,
        ttf=curve
        and TransferFunction(
            at="inserts" if sample.discs else "skin",
            frequency=curve[0].tolist(),
            ttf=curve[1].tolist(),
            ttf50=resolution.half_frequency(*curve),
        ),
        cnr_soft_tissue_fat=_cnr(tissues, noise.std) if noise else None,
        inserts=tuple(insert_contrast(images, *disc) for disc in sample.discs),
    )


def _transfer(sample: _Sample, images: Images) -> Curve | None:
    """Measure the TTF at the inserts, or without any at the skin if some of it is smooth."""
    if sample.discs:
        curves = [resolution.ttf(images, *disc, sample.spacing_mm) for disc in sample.discs]
        return curves[0][0], np.mean([transfer for _, transfer in curves], axis=0)
    if any(sample.arcs):
        return resolution.skin_ttf(images, sample.arcs, sample.spacing_mm)
    return None


def _removed(sample: _Sample, name: str) -> RemovedNoise:
    noisy, denoised = sample.images[NOISY], sample.images[name]
    removed = removed_noise(noisy, denoised, sample.images.get(REFERENCE, denoised))
    noise = sample.noise([before - after for before, after in zip(noisy, denoised, strict=True)])
    return removed.model_copy(update={"noise": _spectrum(noise) if noise else None})


def _spectrum(noise: Noise) -> NoiseSpectrum:
    return NoiseSpectrum(
        std_hu=noise.std,
        peak_frequency=noise.peak_frequency,
        mean_frequency=noise.mean_frequency,
        frequency=noise.frequency.tolist(),
        nps=noise.power.tolist(),
        nps_2d=np.fft.fftshift(noise.spectrum).tolist(),
    )


def _cnr(tissues: Mapping[str, TissueStatistics], noise: float) -> float | None:
    soft, fat = (tissues.get(name) for name in ("soft tissue", "fat"))
    if not noise or soft is None or fat is None or soft.mean_hu is None or fat.mean_hu is None:
        return None
    return (soft.mean_hu - fat.mean_hu) / noise
