"""Noise of known standard deviation is found within 3 %, whatever its spectrum and wherever it is strong."""

from __future__ import annotations

import numpy as np
import pytest

from ctdenoise.noise.measure import REGION_SIZE, measure_noise, uniform_regions
from ctdenoise.noise.phantom import Ellipsoid, render
from ctdenoise.noise.regions import MAX_SERIES_REGIONS, series_regions

SIZE, SLICES = 256, 12
BODY = [
    Ellipsoid(x=0, y=0, a=120, b=110, delta=1050),
    Ellipsoid(x=-60, y=0, a=25, b=40, delta=-800),
    Ellipsoid(x=60, y=20, a=12, b=12, delta=500),
    Ellipsoid(x=10, y=-50, a=30, b=12, delta=60),
]
TRUTH = render(BODY, 0, size=SIZE, pixel_mm=1.0)


def field(response, seed: int) -> np.ndarray:
    """Return noise of standard deviation 1 in each slice, whose amplitude has a frequency response."""
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None])
    white = np.random.default_rng(seed).normal(size=(SLICES, SIZE, SIZE))
    noise = np.fft.irfft2(np.fft.rfft2(white) * response(frequency))
    return noise / noise.std()


SPECTRA = {
    "white": lambda f: np.ones_like(f),
    "soft kernel": lambda f: np.sqrt(f) * np.exp(-((f / 0.2) ** 2)),
    "very soft kernel": lambda f: np.sqrt(f) * np.exp(-((f / 0.1) ** 2)),
}


def neighbours(images: np.ndarray) -> dict[int, np.ndarray]:
    """Return the mean of the neighbours of each slice, the first and last being neighbours."""
    return dict(enumerate((np.roll(images, 1, axis=0) + np.roll(images, -1, axis=0)) / 2))


@pytest.mark.parametrize("std", [5.0, 40.0])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_known_noise_in_a_phantom_is_measured_within_3_percent(spectrum, std):
    images = TRUTH + std * field(SPECTRA[spectrum], seed=1)
    found = measure_noise(list(images), series_regions(neighbours(images)), 1.0)
    assert found.std == pytest.approx(std, rel=0.03)
    # By uniformity alone, in the noise itself, too little is found.
    if spectrum == "very soft kernel":
        assert measure_noise(list(images), uniform_regions(list(images)), 1.0).std < 0.95 * std


def test_noise_that_differs_in_strength_is_measured_where_it_is_strong_too():
    rows, columns = np.indices((SIZE, SIZE)) - SIZE / 2
    strength = 30 * np.exp(-np.hypot(rows, columns) / 90)
    noise = strength * field(SPECTRA["soft kernel"], seed=2)
    images = 40 + noise
    regions = series_regions(neighbours(images))
    assert measure_noise(list(images), regions, 1.0).std == pytest.approx(noise.std(), rel=0.12)
    assert measure_noise(list(images), uniform_regions(list(images)), 1.0).std < 0.7 * noise.std()


def test_regions_are_spread_over_slices_and_do_not_overlap():
    images = TRUTH + 10 * field(SPECTRA["white"], seed=3)
    regions = series_regions(neighbours(images))
    assert len(regions) <= MAX_SERIES_REGIONS
    assert {index for index, _, _ in regions} == set(range(SLICES))
    for index, row, column in regions:
        assert TRUTH[row : row + REGION_SIZE, column : column + REGION_SIZE].std() < 5
        others = [one for one in regions if one[0] == index and one != (index, row, column)]
        assert all(abs(row - r) >= REGION_SIZE or abs(column - c) >= REGION_SIZE for _, r, c in others)


def test_a_single_slice_has_its_noise_too():
    image = (40 + 20 * field(SPECTRA["soft kernel"], seed=4)[0]).astype(np.float32)
    regions = series_regions({0: image}, independent=False)
    assert measure_noise([image], regions, 1.0).std == pytest.approx(20, rel=0.05)


def test_air_has_no_regions():
    assert series_regions({0: np.full((64, 64), -1000, np.float32)}) == []
