"""Simple filters beside every denoised image, each tuned to leave as much noise as the denoised image has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_nl_means

from ctdenoise.evaluation.pairing import NOISY, REFERENCE, AlignedStacks
from ctdenoise.evaluation.physics import measured_slices, noise_regions
from ctdenoise.evaluation.stacks import Stack
from ctdenoise.noise.measure import MIN_REGIONS, REGION_SIZE, Region, measure_noise

#: Kind of the stacks that controls are.
CONTROL = "control"
#: Most regions that filters are tuned in, and pixels around them that filters see.
_TUNED_REGIONS, _MARGIN = 24, 16
#: Steps of the search for a filter's parameter.
_STEPS = 10

Image = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ControlStack(Stack):
    """The noisy slices, filtered when they are read.

    Attributes
    ----------
    source
        The noisy slices.
    apply
        Takes and returns ``[H, W]`` HU.
    description
        The filter and its parameter in words.
    """

    source: Stack
    apply: Callable[[Image], Image]
    description: str

    def read(self, index: int) -> Image:
        """Read a slice and filter it."""
        return self.apply(self.source.read(index))


@dataclass(frozen=True)
class GaussianBlur:
    """A Gaussian of some standard deviation, pixels."""

    parameter: float
    limits = (0.2, 8.0)

    def __call__(self, image: Image) -> Image:
        """Filter ``[H, W]`` HU."""
        blurred: Image = gaussian_filter(image, self.parameter)
        return blurred

    @property
    def description(self) -> str:
        """The filter in words."""
        return f"Gaussian blur, σ {self.parameter:.2f} pixels"


@dataclass(frozen=True)
class NonLocalMeans:
    """Non-local means (Buades et al. 2005): patches of 5 × 5 within 13 × 13 pixels; h in HU."""

    parameter: float
    limits = (0.5, 400.0)

    def __call__(self, image: Image) -> Image:
        """Filter ``[H, W]`` HU."""
        smooth: Image = denoise_nl_means(image, patch_size=5, patch_distance=6, h=self.parameter).astype(np.float32)
        return smooth

    @property
    def description(self) -> str:
        """The filter in words."""
        return f"non-local means, patches of 5 × 5 within 13 × 13 pixels, h {self.parameter:.3g} HU"


_CONTROLS: dict[str, Callable[[float], GaussianBlur | NonLocalMeans]] = {
    "Gaussian blur": GaussianBlur,
    "non-local means": NonLocalMeans,
}


def with_controls(aligned: AlignedStacks) -> AlignedStacks:
    """Add a Gaussian blur and non-local means of the noisy images for each denoised image.

    The third control is the noisy image itself: the identity. Each filter has the parameter with which as much noise is
    left in uniform regions as in the denoised image.

    Parameters
    ----------
    aligned
        Without a noisy image, without uniform regions, and for photographs, nothing is added; nor for images that are
        as noisy as the noisy one.

    Raises
    ------
    InputError
        If a slice cannot be read.
    """
    tests = [name for name in aligned.stacks if name not in (NOISY, REFERENCE)]
    if NOISY not in aligned.stacks or not tests or aligned.base.is_photograph:
        return aligned
    indices = measured_slices(aligned)
    regions = noise_regions(aligned, indices)
    if len(regions) < MIN_REGIONS:
        return aligned
    slices = [aligned.read(index) for index in indices]
    noise = {name: measure_noise([one[name] for one in slices], regions, 1.0).std for name in aligned.stacks}
    crops, inside = _crops([one[NOISY] for one in slices], regions)
    controls: dict[str, Stack] = {}
    for test in tests:
        share = noise[test] / max(noise[NOISY], 1e-6)
        if share < 1:
            controls |= _tuned(aligned.stacks[NOISY], crops, inside, share, f", as {test}" if len(tests) > 1 else "")
    matches = tuple({**match, **dict.fromkeys(controls, match[NOISY])} for match in aligned.matches)
    return replace(aligned, stacks={**aligned.stacks, **controls}, matches=matches)


def _crops(images: Sequence[Image], regions: Sequence[Region]) -> tuple[list[Image], list[Region]]:
    """Return surroundings of some regions, and where the region is in each."""
    crops, inside = [], []
    for number, (index, row, column) in enumerate(regions[:: max(1, len(regions) // _TUNED_REGIONS)]):
        top, left = max(0, row - _MARGIN), max(0, column - _MARGIN)
        crops.append(images[index][top : row + REGION_SIZE + _MARGIN, left : column + REGION_SIZE + _MARGIN])
        inside.append((number, row - top, column - left))
    return crops, inside


def _tuned(noisy: Stack, crops: list[Image], inside: list[Region], share: float, suffix: str) -> dict[str, Stack]:
    """Return the controls that leave a share of the noise."""
    before = measure_noise(crops, inside, 1.0).std
    found: dict[str, Stack] = {}
    for name, make in _CONTROLS.items():
        low, high = np.log(make(0).limits)
        for _ in range(_STEPS):
            middle = (low + high) / 2
            control = make(float(np.exp(middle)))
            after = measure_noise([control(crop) for crop in crops], inside, 1.0).std
            low, high = (middle, high) if after > share * before else (low, middle)
        control = make(float(np.exp((low + high) / 2)))
        found[name + suffix] = ControlStack(
            path=noisy.path,
            kind=CONTROL,
            slices=noisy.slices,
            pixel_spacing_mm=noisy.pixel_spacing_mm,
            normal=noisy.normal,
            source=noisy,
            apply=control,
            description=control.description,
        )
    return found
