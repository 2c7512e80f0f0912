"""Drawn slices."""

from __future__ import annotations

import numpy as np

from ctdenoise.training import DrawEllipsoidsd


def drawn(seed, **options):
    return DrawEllipsoidsd("image", side=96, ellipsoids=60, **options)({"image": seed})["image"]


def test_a_seed_always_gives_the_same_slices():
    first = drawn(1, slices=3)
    assert first.shape == (3, 96, 96)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, drawn(1, slices=3))
    assert not np.array_equal(first, drawn(2, slices=3))


def test_values_are_those_of_tissues():
    values = np.concatenate([drawn(seed).ravel() for seed in range(8)])
    assert values.min() >= -1000.5
    assert values.max() <= 1400
    soft = (values > 0) & (values < 120)
    assert 0.3 < soft.mean() < 0.9
    assert (values < -600).mean() > 0.02
    assert (values > 200).mean() > 0.02


def test_there_is_no_noise():
    """Most pixels equal their neighbours: uniform regions are exactly uniform."""
    image = drawn(3)[0]
    assert (np.abs(np.diff(image, axis=1)) < 0.5).mean() > 0.4


def test_neighbours_are_cuts_through_the_same_ellipsoids():
    likeness, others = [], []
    for seed in range(6):
        below, middle, above = drawn(seed, slices=3)
        likeness += [np.abs(middle - below).mean(), np.abs(middle - above).mean()]
        others.append(np.abs(middle - drawn(seed + 100)[0]).mean())
        assert not np.array_equal(below, middle)
    assert max(likeness) < 0.7 * np.mean(others)
