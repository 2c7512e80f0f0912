from __future__ import annotations

import numpy as np

from ctdenoise.noise.leaves import dead_leaves


def test_leaves_follow_the_seed_and_are_hu_of_tissues():
    image = dead_leaves(96, np.random.default_rng(3))
    assert image.shape == (96, 96)
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, dead_leaves(96, np.random.default_rng(3)))
    assert not np.array_equal(image, dead_leaves(96, np.random.default_rng(4)))
    assert image.min() > -1000
    assert image.max() < 1500
    assert -100 < np.median(image) < 100  # most of it is soft tissue


def test_there_are_edges_and_flat_leaves_and_no_noise():
    image = np.concatenate([dead_leaves(128, np.random.default_rng(seed)) for seed in range(3)])
    steps = np.abs(np.diff(image, axis=1))
    assert np.mean(steps < 0.5) > 0.3
    assert np.mean(steps > 20) > 0.05
