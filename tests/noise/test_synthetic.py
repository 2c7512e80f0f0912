from __future__ import annotations

import numpy as np
import pytest

from ctdenoise.noise.synthetic import NOISES

GREY = np.full((256, 256, 3), 0.5, np.float32)


def drawn(kind, level, seed=0):
    return NOISES[kind](GREY, level, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", NOISES)
def test_noise_follows_the_seed(kind):
    level = 0.1 if kind == "salt and pepper" else 15
    assert np.array_equal(drawn(kind, level), drawn(kind, level))
    assert not np.array_equal(drawn(kind, level), drawn(kind, level, seed=1))
    assert drawn(kind, level).dtype == np.float32


@pytest.mark.parametrize(
    ("kind", "level", "std"),
    [
        ("gaussian", 25, 25 / 255),
        ("spatial gaussian", 45, 15 / 255),  # the mean of nine
        ("speckle", 25, 0.5 * 25 / 255),  # relative to grey
        ("poisson", 0.5, 0.5 * np.sqrt(0.5 / 2)),  # photons: two for white, as grey has one value
    ],
)
def test_the_noise_has_the_expected_standard_deviation(kind, level, std):
    noise = drawn(kind, level) - GREY
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std() == pytest.approx(std, rel=0.1)


def test_salt_and_pepper_changes_the_given_fraction_of_values_only():
    noisy = drawn("salt and pepper", 0.1)
    assert np.mean(noisy == 0) == pytest.approx(0.05, rel=0.1)
    assert np.mean(noisy == 1) == pytest.approx(0.05, rel=0.1)
    assert np.mean(noisy == 0.5) == pytest.approx(0.9, rel=0.01)
