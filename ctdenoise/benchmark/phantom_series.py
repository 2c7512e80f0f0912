"""A synthetic series of noisy slices of the demo's thorax."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydicom.uid import generate_uid
from torch import Tensor

from ctdenoise.io.dicom import write_slice
from ctdenoise.io.dicom.create import NewSeries
from ctdenoise.noise.phantom import render, thorax
from ctdenoise.transforms.hounsfield import hu_to_unit

FIELD_MM = 358.4
#: Of the slices' noise, HU.
NOISE_HU = 30.0


def phantom_slice(size: int, z: float = 0.0) -> NDArray[np.float32]:
    """Return a noisy slice of the demo's thorax, ``[size, size]`` HU."""
    noise = np.random.default_rng(round(z * 10) + 10**6).normal(0, NOISE_HU, (size, size))
    image: NDArray[np.float32] = (render(thorax(), z, size=size, pixel_mm=FIELD_MM / size) + noise).astype(np.float32)
    return image


def phantom_input(size: int, hu_range: tuple[float, float] | None, channels: int) -> Tensor:
    """Return a noisy slice as a network gets it, ``[1, channels, size, size]``."""
    unit = hu_to_unit(phantom_slice(size), hu_range or (0.0, 1.0))
    return torch.from_numpy(unit).expand(1, channels, -1, -1).contiguous()


def write_phantom_series(folder: Path, *, size: int, slices: int) -> Path:
    """Write a series of noisy slices of the demo's thorax."""
    series = NewSeries(
        patient="PHANTOM^BENCHMARK",
        body_part="CHEST",
        study_uid=generate_uid(prefix=None),
        frame_of_reference_uid=generate_uid(prefix=None),
        uid=generate_uid(prefix=None),
        number=1,
        description="Benchmark",
        pixel_mm=FIELD_MM / size,
        spacing_mm=1.0,
        kernel="none",
        time=datetime.now(),
    )
    folder.mkdir(parents=True)
    images = [phantom_slice(size, z) for z in np.linspace(-20, 20, min(slices, 8))]
    for index in range(slices):
        write_slice(series.slice(index, images[index % len(images)]), folder / f"{index + 1:05d}.dcm")
    return folder
