"""Correlation of noise along the normal of a series."""

from __future__ import annotations

import numpy as np
import pytest

from ctdenoise.noise.along_normal import correlate, correlate_all


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_both_ways_give_noise_of_the_same_covariance(count, correlation):
    """Of unit vectors, so that the covariance is exact."""
    longer, own = np.eye(count + 2)[:, :, None], np.eye(count)[:, :, None]
    moving, mixed = correlate(longer, correlation)[..., 0], correlate_all(own, correlation)[..., 0]
    np.testing.assert_allclose(mixed @ mixed.T, moving @ moving.T, atol=1e-9)
    assert np.diag(mixed @ mixed.T) == pytest.approx(1)
    if count > 1:
        assert (mixed @ mixed.T)[0, 1] == pytest.approx(correlation)
