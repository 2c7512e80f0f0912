"""CT physics of each image: noise power spectrum, task transfer function, d′, tissues, and what was removed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctdenoise.evaluation import resolution
from ctdenoise.evaluation.detectability import TASK
from ctdenoise.evaluation.image_physics import Places, image_physics, noise_spectrum
from ctdenoise.evaluation.pairing import NOISY, REFERENCE, AlignedStacks
from ctdenoise.evaluation.physics_document import Insert, Physics, RemovedNoise, Task
from ctdenoise.evaluation.removed_noise import removed_noise
from ctdenoise.evaluation.stacks import Stack
from ctdenoise.evaluation.tissues import tissue_masks
from ctdenoise.noise.measure import Region, evenly_spread
from ctdenoise.noise.regions import series_regions

#: Most slices that physics is measured in.
MOST_SLICES = 16

Images = Sequence[NDArray[np.float32]]


@dataclass(frozen=True)
class Sample:
    """The slices that physics is measured in, and where in them.

    Attributes
    ----------
    indices
        Of the slices among the aligned ones.
    images
        ``[H, W]`` HU of each slice, by name of the image.
    places
        Uniform regions; skin and tissues, which are found in the first image.
    """

    indices: Sequence[int]
    images: Mapping[str, Images]
    places: Places


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
    images, places = sample.images, sample.places
    base = next(iter(images.values()))
    return Physics(
        slices=len(base),
        regions=len(places.regions),
        arcs=sum(map(len, places.arcs)),
        measured_where=next(iter(images)),
        regions_found_in=noise_series(images),
        pixel_mm=spacing_mm,
        frequency_unit="1/mm" if spacing_mm else "1/pixel",
        task=Task(diameter_mm=TASK[0], contrast_hu=TASK[1]),
        inserts=tuple(inserts),
        images={name: image_physics(places, base, image) for name, image in images.items()},
        residual={
            name: _removed(sample, name) for name in images if NOISY in images and name not in (NOISY, REFERENCE)
        },
        noise_regions=tuple((sample.indices[number], row, column) for number, row, column in places.regions),
    )


def measured_slices(aligned: AlignedStacks) -> list[int]:
    """Return the indices of the slices that physics is measured in."""
    return evenly_spread(len(aligned), MOST_SLICES)


def noise_series(images: Collection[str]) -> str:
    """Return the name of the image that uniform regions are found in."""
    return NOISY if NOISY in images else next(iter(images))


def noise_regions(aligned: AlignedStacks, indices: Sequence[int], *, distance: int = 1) -> list[Region]:
    """Find uniform regions of the slices with these indices, in slices of the noisy series near them.

    Parameters
    ----------
    aligned, indices
        The stacks, and the slices.
    distance
        In slices, on both sides; 1 is that of neighbours.

    Raises
    ------
    InputError
        If a slice cannot be read.
    """
    name = noise_series(aligned.stacks)
    stack, places = aligned.stacks[name], [aligned.matches[index][name] for index in indices]
    found = {number: _neighbours(stack, place, distance) for number, place in enumerate(places)}
    if all(found.values()):
        means = {number: np.mean(images, axis=0) for number, images in found.items()}
        return series_regions(means)
    return series_regions({number: stack.read(place) for number, place in enumerate(places)}, independent=False)


def _sample(aligned: AlignedStacks, inserts: Sequence[Insert]) -> Sample:
    indices = measured_slices(aligned)
    slices = [aligned.read(index) for index in indices]
    images = {name: [one[name] for one in slices] for name in aligned.stacks}
    base = next(iter(images.values()))
    spacing_mm = aligned.base.pixel_spacing_mm
    places = Places(
        spacing_mm=spacing_mm,
        regions=noise_regions(aligned, indices),
        arcs=[resolution.skin_arcs(image) for image in base],
        masks=[tissue_masks(image) for image in base],
        discs=[((insert.row, insert.column), insert.radius_mm / (spacing_mm or 1.0)) for insert in inserts],
    )
    return Sample(indices, images, places)


def _neighbours(stack: Stack, place: int, distance: int) -> list[NDArray[np.float32]]:
    """Return the slices before and after one, without those that are missing or of another size."""
    images = [stack.read(one) for one in (place - distance, place + distance) if 0 <= one < len(stack.slices)]
    shape = stack.read(place).shape if images else None
    return [image for image in images if image.shape == shape]


def _removed(sample: Sample, name: str) -> RemovedNoise:
    noisy, denoised = sample.images[NOISY], sample.images[name]
    removed = removed_noise(noisy, denoised, sample.images.get(REFERENCE, denoised))
    difference = [before - after for before, after in zip(noisy, denoised, strict=True)]
    return removed.model_copy(update={"noise": noise_spectrum(sample.places, difference)})
