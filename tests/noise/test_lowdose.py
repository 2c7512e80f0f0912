from __future__ import annotations

import numpy as np
import pytest

from ctdenoise.noise.lowdose import WATER_PER_MM, add_noise, reconstruct
from ctdenoise.noise.phantom import Ellipsoid, project

ANGLES = np.linspace(0, 180, 180, endpoint=False)
WATER = [Ellipsoid(x=0, y=0, a=80, b=80, delta=1000)]


def water_sinogram() -> np.ndarray:
    return project(WATER, 0, angles=ANGLES, detectors=128, pixel_mm=1.5) * WATER_PER_MM / 1000


def noise(photons: float, seed: int = 0) -> np.ndarray:
    clean = water_sinogram()
    noisy = add_noise(clean, photons=photons, electronic=0, rng=np.random.default_rng(seed))
    both = [reconstruct(s, angles=ANGLES, pixel_mm=1.5, kernel="ramp") for s in (noisy, clean)]
    return (both[0] - both[1])[44:84, 44:84]


def test_water_is_0_hu():
    image = reconstruct(water_sinogram(), angles=ANGLES, pixel_mm=1.5, kernel="ramp")
    assert image[48:80, 48:80].mean() == pytest.approx(0, abs=3)


def test_variance_follows_one_over_dose_without_bias():
    full, quarter = noise(4e5), noise(1e5)
    assert quarter.var() / full.var() == pytest.approx(4, rel=0.15)
    assert abs(quarter.mean()) < 1


def test_variance_of_a_ray_is_one_over_its_photons():
    line = np.full(200_000, 3.0)
    noisy = add_noise(line, photons=1e5, electronic=20, rng=np.random.default_rng(0))
    counts = 1e5 * np.exp(-3)
    assert noisy.mean() == pytest.approx(3, abs=1e-3)
    assert noisy.var() == pytest.approx((counts + 20**2) / counts**2, rel=0.02)


def test_seeded_and_starved_rays_stay_finite():
    assert np.array_equal(noise(1e5, seed=1), noise(1e5, seed=1))
    assert not np.array_equal(noise(1e5, seed=1), noise(1e5, seed=2))
    starved = add_noise(np.full(1000, 12.0), photons=1e4, electronic=10, rng=np.random.default_rng(0))
    assert np.isfinite(starved).all()
    assert starved.max() == pytest.approx(np.log(1e4))
