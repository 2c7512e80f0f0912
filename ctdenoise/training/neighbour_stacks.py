"""Three contiguous slices with small ellipsoids and noise, and what a denoiser makes of each, for training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import SliceFile, discover, read_slice
from ctdenoise.noise.along_normal import correlate_all
from ctdenoise.noise.phantom import sphere_in_slice
from ctdenoise.training.drawn import DrawEllipsoidsd
from ctdenoise.transforms.noise import RandCTNoise

Image = NDArray[np.float32]

#: Height and width of a stack, pixels, and its slices.
_SIDE, _SLICES = 192, 3
#: Share of stacks that are drawn instead of cut from a series; their pixel and the distances of their slices, mm.
_DRAWN, _DRAWN_PIXEL_MM, _DRAWN_DISTANCES_MM = 0.25, 0.7, (1.0, 2.5, 5.0)
#: Ellipsoids in a stack: most of them, semi-axis in mm, contrast in HU (log-uniform, either sign), and elongation.
_MOST, _SEMI_AXIS_MM, _CONTRAST_HU, _ELONGATION = 14, (1.2, 5.5), (25.0, 300.0), (0.7, 1.4)
#: Of the radius of an ellipsoid, the part in which its mean is measured.
_CORE = 0.6
#: Standard deviation of the noise, HU, log-uniform; how often slices share noise, and the correlation then.
_NOISE_HU, _SHARED, _CORRELATION = (8.0, 70.0), 0.5, (0.1, 0.5)
#: HU above which a pixel of the middle slice may be the centre of a stack.
_BODY_HU = -300.0


@dataclass(frozen=True)
class Stack:
    """Three slices for training.

    Attributes
    ----------
    clean, noisy, denoised
        ``[3, H, W]`` HU; each slice is denoised by itself, at strength 1.
    ellipsoids
        ``[H, W]``: 0, or from 1 the number of the ellipsoid that is here in any of the slices.
    contrasts
        Of each ellipsoid, HU, positive.
    """

    clean: Tensor
    noisy: Tensor
    denoised: Tensor
    ellipsoids: Tensor
    contrasts: Sequence[float]


def stacks(folders: Sequence[Path], denoise: Callable[[Image], Image], count: int, seed: int) -> Iterator[Stack]:
    """Yield random stacks of series; the same seed gives the same stacks.

    Parameters
    ----------
    folders
        With DICOM series of at least three slices of at least 192 × 192 pixels.
    denoise
        Denoises ``[3, H, W]`` HU, each slice by itself; its results are to be averaged.

    Raises
    ------
    InputError
        If a folder has no such series, or a slice cannot be read.
    """
    rng = np.random.default_rng(seed)
    series = [_files(folder) for folder in folders]
    for _ in range(count):
        drawn = rng.uniform() < _DRAWN
        hu, pixel_mm, distance_mm = _drawn(rng) if drawn else _cut(series[rng.integers(len(series))], rng)
        ellipsoids, contrasts = _insert(hu, pixel_mm, distance_mm, rng)
        noisy = hu + _noise(rng)
        arrays = (hu, noisy, denoise(noisy), ellipsoids)
        clean, with_noise, denoised, numbers = map(torch.from_numpy, arrays)
        yield Stack(clean, with_noise, denoised, numbers, contrasts)


def _files(folder: Path) -> list[SliceFile]:
    series = max(discover(folder).series, key=lambda one: len(one.slices), default=None)
    if series is None or len(series.slices) < _SLICES:
        raise InputError(f"expected a series of at least {_SLICES} CT slices, found none", path=folder)
    return list(series.slices)


def _cut(files: Sequence[SliceFile], rng: np.random.Generator) -> tuple[Image, float, float]:
    """Return slices of a series about a random pixel of the body, pixel spacing and distance, mm."""
    first = int(rng.integers(0, len(files) - _SLICES + 1))
    chosen = files[first : first + _SLICES]
    images = [read_slice(file.path) for file in chosen]
    shapes = {image.hu.shape for image in images}
    if len(shapes) > 1 or min(images[0].hu.shape) < _SIDE:
        raise InputError(f"expected slices of one size, at least {_SIDE} pixels, found {shapes}", path=chosen[0].path)
    hu = np.nan_to_num(np.stack([image.hu for image in images]), nan=-1024.0)
    body = np.argwhere(hu[_SLICES // 2] > _BODY_HU)
    centre = body[rng.integers(len(body))] if len(body) else np.array(hu.shape[1:]) // 2
    row, column = (int(np.clip(centre[i] - _SIDE // 2, 0, hu.shape[i + 1] - _SIDE)) for i in (0, 1))
    distance = abs((chosen[1].position or 0.0) - (chosen[0].position or 0.0))
    cut = np.ascontiguousarray(hu[:, row : row + _SIDE, column : column + _SIDE], np.float32)
    return cut, images[0].pixel_spacing_mm or _DRAWN_PIXEL_MM, distance or images[0].slice_thickness_mm or 1.0


def _drawn(rng: np.random.Generator) -> tuple[Image, float, float]:
    draw = DrawEllipsoidsd("image", slices=_SLICES, side=_SIDE, ellipsoids=90)
    return draw({"image": int(rng.integers(1 << 31))})["image"], _DRAWN_PIXEL_MM, rng.choice(_DRAWN_DISTANCES_MM)


def _insert(
    hu: Image, pixel_mm: float, distance_mm: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], list[float]]:
    """Add ellipsoids to slices, in place, averaged over a thickness of the slices' distance."""
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    numbers, contrasts = np.zeros((_SIDE, _SIDE), np.int64), list[float]()
    for _ in range(_MOST):
        radius, height = rng.uniform(*_SEMI_AXIS_MM), rng.uniform(-1, 1) * distance_mm
        row, column = rng.uniform(0, _SIDE, 2)
        distance = np.hypot((rows - row) * rng.uniform(*_ELONGATION), columns - column) * pixel_mm
        contrast = float(rng.choice([-1, 1]) * np.exp(rng.uniform(*np.log(_CONTRAST_HU))))
        if numbers[distance < radius + 2].any():
            continue
        for index in range(_SLICES):
            low, high = ((index - _SLICES // 2 + side) * distance_mm - height for side in (-0.5, 0.5))
            inside = sphere_in_slice(distance, radius, low, high)
            hu[index] += (contrast / distance_mm * inside).astype(np.float32)
        contrasts.append(abs(contrast))
        numbers[distance <= max(_CORE * radius, pixel_mm)] = len(contrasts)
    return numbers, contrasts


def _noise(rng: np.random.Generator) -> Image:
    std = float(np.exp(rng.uniform(*np.log(_NOISE_HU))))
    add = RandCTNoise((std, std)).set_random_state(int(rng.integers(1 << 31)))
    independent = np.asarray(add(np.zeros((_SLICES, _SIDE, _SIDE), np.float32)))
    correlation = float(rng.uniform(*_CORRELATION)) if rng.uniform() < _SHARED else 0.0
    return correlate_all(independent, correlation).astype(np.float32)
