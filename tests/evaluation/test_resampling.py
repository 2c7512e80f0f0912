"""Bootstrap intervals contain the truth about as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from ctdenoise.evaluation.image_physics import Places, image_physics
from ctdenoise.evaluation.resampling import RESAMPLES, Resampling, interval, weighted_mean
from ctdenoise.noise.measure import REGION_SIZE


def test_the_first_row_is_the_measurement_and_slices_are_drawn_whole():
    weights = Resampling(8).weights([0, 0, 3, 7])
    assert weights.shape == (RESAMPLES + 1, 4)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[1:].std(axis=0) > 0.5).all()


def test_of_few_slices_the_units_are_drawn():
    weights = Resampling(1).weights([0] * 5)
    assert (weights[1:].sum(axis=1) == 5).all()
    assert Resampling(1).weights([0]).shape == (1, 1)
    assert interval(weighted_mean(Resampling(1).weights([0]), np.array([4.0]))) is None


def test_the_interval_of_a_mean_is_that_of_theory():
    values = np.random.default_rng(3).normal(10, 2, 400)
    low, high = interval(weighted_mean(Resampling(400).weights(range(400)), values))
    half = 1.96 * values.std() / np.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.05)


@pytest.mark.parametrize("slices", [2, 8])
def test_intervals_of_noise_and_detectability_contain_the_truth(slices):
    sides = range(0, 96, REGION_SIZE)
    places = Places(
        spacing_mm=0.7,
        regions=[(index, row, column) for index in range(slices) for row in sides for column in sides],
        arcs=[[]] * slices,
        masks=[{}] * slices,
        discs=[],
    )
    inside, trials = {"noise": 0, "d": 0}, 12
    for seed in range(trials):
        images = list(np.random.default_rng(seed).normal(40, 20, (slices, 96, 96)).astype(np.float32))
        found = image_physics(places, images, images)
        theory = 10 * np.sqrt(np.pi * 5**2 / 4) / (20 * 0.7)
        inside["noise"] += found.noise.std_ci95[0] < 20 < found.noise.std_ci95[1]
        inside["d"] += found.d_prime_ci95[0] < theory < found.d_prime_ci95[1]
        assert found.noise.std_ci95[0] < found.noise.std_hu < found.noise.std_ci95[1]
        assert found.noise.mean_ci95[0] < found.noise.mean_frequency < found.noise.mean_ci95[1]
    assert min(inside.values()) >= trials * 0.6
