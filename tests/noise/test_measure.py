from __future__ import annotations

import numpy as np
import pytest

from ctdenoise.noise.lowdose import Scan, dose_noise
from ctdenoise.noise.measure import REGION_SIZE, evenly_spread, measure_noise, uniform_regions
from ctdenoise.noise.phantom import Ellipsoid, render

BODY = [
    Ellipsoid(x=0, y=0, a=120, b=90, delta=1050),
    Ellipsoid(x=-50, y=0, a=25, b=40, delta=-800),
    Ellipsoid(x=60, y=20, a=12, b=12, delta=500),
]
IMAGE = render(BODY, 0, size=256, pixel_mm=1.1)


def test_uniform_regions_are_free_of_edges():
    scan = Scan(photons=3e5, views=180)
    image = IMAGE + dose_noise(IMAGE, pixel_mm=1.1, dose=0.5, scan=scan, rng=np.random.default_rng(5))
    regions = uniform_regions([image])
    assert len(regions) >= 6
    for _, row, column in regions:
        region = IMAGE[row : row + REGION_SIZE, column : column + REGION_SIZE]
        assert region.min() == region.max() == 50


def test_white_noise_has_its_standard_deviation_and_a_flat_spectrum():
    rng = np.random.default_rng(0)
    images = [rng.normal(40, 12, (200, 200)).astype(np.float32) for _ in range(3)]
    noise = measure_noise(images, uniform_regions(images), pixel_mm=0.5)
    assert noise.std == pytest.approx(12, rel=0.03)
    # ICRU 87: the spectrum's integral is the variance; in two dimensions, its mean by the area of frequencies.
    assert noise.power[4:].mean() == pytest.approx(12**2 * 0.5**2, rel=0.05)
    assert noise.power[4:] == pytest.approx(noise.power[4:].mean(), rel=0.15)
    assert noise.frequency[-1] == pytest.approx(1.0)


def test_spectra_of_correlated_noise_peak_where_they_should():
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None])
    ring = np.exp(-(((frequency - 0.2) / 0.05) ** 2))
    images = [np.fft.irfft2(np.fft.rfft2(rng.normal(0, 50, (256, 256))) * ring).astype(np.float32) for _ in range(4)]
    noise = measure_noise(images, uniform_regions(images), pixel_mm=0.8)
    assert noise.peak_frequency == pytest.approx(0.2 / 0.8, abs=0.03)
    assert noise.std == pytest.approx(np.std(images), rel=0.05)
    low, high = noise.above(0.35), noise.above(0.1)
    assert low.std < 0.3 * noise.std < 0.9 * noise.std < high.std


def test_second_order_trends_are_not_noise():
    y, x = np.mgrid[:160, :160] / 160
    images = [(30 + 40 * x - 25 * y + 30 * x * y - 20 * x**2).astype(np.float32)]
    assert measure_noise(images, uniform_regions(images), pixel_mm=1).std < 0.01


def test_indices_are_evenly_spread_from_first_to_last():
    assert evenly_spread(3, 8) == [0, 1, 2]
    assert evenly_spread(71, 8) == [0, 10, 20, 30, 40, 50, 60, 70]
    assert evenly_spread(0, 8) == []
