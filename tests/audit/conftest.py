"""Slices of a real patient, and of a synthetic one where there is no data."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.uid import generate_uid
from scipy.ndimage import gaussian_filter

from ctdenoise.audit.noise_model import NoiseModel, measure_noise_model
from ctdenoise.io.dicom import write_slice
from ctdenoise.io.dicom.create import NewSeries

PIXEL_MM = 0.8
Slices = list[NDArray[np.float32]]


def clean_slices(count: int = 3, size: int = 256) -> Slices:
    """Return a body of fat and soft tissue with two lungs, vessels and a spine, which changes along the slices."""
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    found = []
    for index in range(count):
        image = np.full((size, size), -1000.0)
        image[np.hypot(rows / 0.36, columns / 0.45) < 1] = -100.0
        image[np.hypot(rows / 0.32, columns / 0.41) < 1] = 50.0
        for side in (-1, 1):
            lung = np.hypot((rows + 0.05) / 0.2, (columns - side * 0.2) / 0.12) < 1
            image[lung] = -850.0
            rng = np.random.default_rng(2 * index + side + 1)
            for row, column in rng.uniform(-0.08, 0.08, (25, 2)):
                image[(np.hypot(rows + 0.05 - row * 2, columns - side * 0.2 - column) < 0.006) & lung] = 30.0
        image[np.hypot(rows - 0.2 - 0.005 * index, columns) < 0.04] = 400.0
        found.append(gaussian_filter(image, 0.9).astype(np.float32))
    return found


def texture(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return noise like that of a soft-tissue kernel, standard deviation 1."""
    noise = gaussian_filter(rng.standard_normal((size, size)), 0.8) - gaussian_filter(
        rng.standard_normal((size, size)), 4.0
    )
    return (noise / noise.std()).astype(np.float32)


@pytest.fixture(scope="session")
def clean() -> Slices:
    return clean_slices()


@pytest.fixture(scope="session")
def noisy(clean: Slices) -> Slices:
    rng = np.random.default_rng(5)
    return [one + 15 * texture(len(one), rng) for one in clean]


@pytest.fixture(scope="session")
def model(noisy: Slices) -> NoiseModel:
    return measure_noise_model(noisy, PIXEL_MM)


@pytest.fixture
def series(tmp_path: Path, noisy: Slices) -> Path:
    """Return a folder with the noisy slices as a DICOM series."""
    return write_series(tmp_path / "series", noisy)


def write_series(folder: Path, slices: Slices) -> Path:
    """Write slices as a DICOM series into a new folder, and return it."""
    folder.mkdir()
    new = NewSeries(
        patient="SECRET^NAME",
        body_part="CHEST",
        study_uid=generate_uid(),
        frame_of_reference_uid=generate_uid(),
        uid=generate_uid(),
        number=4,
        description="Chest",
        pixel_mm=PIXEL_MM,
        spacing_mm=2.5,
        kernel="B30f",
        time=datetime(2026, 1, 2, 3, 4, 5),
    )
    for index, image in enumerate(slices):
        write_slice(new.slice(index, image), folder / f"IMG{index}")
    return folder
