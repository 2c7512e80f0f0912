from __future__ import annotations

import numpy as np
import pytest

from ctdenoise.noise.bank import noise_bank


@pytest.fixture(scope="module")
def bank() -> list[np.ndarray]:
    return noise_bank(3, seed=3)


def test_realisations_are_noise_of_unit_standard_deviation(bank):
    for noise in bank:
        assert noise.dtype == np.float32
        assert min(noise.shape) >= 180
        assert noise.std() == pytest.approx(1, rel=1e-3)
        assert abs(noise.mean()) < 0.02


def test_kernels_go_from_smooth_to_sharp(bank):
    def neighbours(noise: np.ndarray) -> float:
        return float(np.mean(noise[:, 1:] * noise[:, :-1]))

    assert neighbours(bank[0]) > neighbours(bank[1]) > neighbours(bank[2])
    assert neighbours(bank[0]) > 0.6


@pytest.mark.slow
def test_a_seed_repeats_its_bank(bank):
    again, other = noise_bank(3, seed=3)[1], noise_bank(1, seed=4)[0]
    assert np.array_equal(again, bank[1])
    assert other.shape != again.shape or not np.array_equal(other, again)
