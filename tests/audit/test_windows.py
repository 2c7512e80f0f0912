"""Slices with their neighbours: which ones are read, and the noise that is simulated for them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ctdenoise.audit.windows import WindowReader, correlation_of, dose_noise_of, middle
from ctdenoise.evaluation.pairing import align
from ctdenoise.evaluation.stacks import open_stack
from ctdenoise.noise.lowdose import KERNELS, Scan
from tests.audit.conftest import PIXEL_MM, write_series

SCAN = Scan(photons=2e5, kernel=KERNELS["smooth"])


def body(size=160):
    """Return a disc of soft tissue, ``[H, W]`` HU."""
    rows, columns = np.mgrid[:size, :size] - size / 2
    return gaussian_filter(np.where(np.hypot(rows, columns) < 0.45 * size, 50.0, -1000.0), 0.9).astype(np.float32)


def noise_of(window, *, correlation=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return dose_noise_of(window, pixel_mm=PIXEL_MM, dose=0.25, scan=SCAN, rng=rng, correlation=correlation)


def test_a_slice_is_read_with_its_neighbours(tmp_path):
    write_series(tmp_path / "a", [np.full((32, 32), value, np.float32) for value in (10, 20, 30)])
    read = WindowReader(align({"source": open_stack(tmp_path / "a")}), 1)
    found = [read(index)["source"][:, 0, 0].tolist() for index in range(3)]
    assert found == [[10, 10, 20], [10, 20, 30], [20, 30, 30]]


def test_planes_of_an_array_are_neighbours_in_their_order(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3.0)[:, None, None].repeat(32, 1).repeat(32, 2))
    stack = open_stack(tmp_path / "a.npy")
    assert WindowReader(align({"source": stack}), 1)(1)["source"][:, 0, 0].tolist() == [0, 1, 2]
    assert WindowReader(align({"source": stack}), 0)(1)["source"].shape == (1, 32, 32)


def test_a_slice_in_place_of_a_neighbour_has_the_noise_of_the_slice():
    other = body() + np.float32(1)
    for correlation in (0.0, 0.4):
        noise = noise_of(np.stack([body(), body(), other]), correlation=correlation)
        np.testing.assert_array_equal(noise[0], noise[1])
        assert not np.array_equal(noise[2], noise[1])


def test_without_neighbours_the_correlation_makes_no_difference():
    np.testing.assert_array_equal(noise_of(body()[None]), noise_of(body()[None], correlation=0.4))


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_noise_of_neighbours_has_the_given_correlation_and_strength(correlation):
    inside = np.s_[:, 50:110, 50:110]
    window = body() + np.float32([0, 1, 2])[:, None, None]
    noises = [noise_of(window, correlation=correlation, seed=seed)[inside] for seed in range(3)]
    alone = [noise_of(window[:1], seed=seed)[inside] for seed in range(6, 12)]
    found = np.corrcoef(np.ravel([n[0] for n in noises]), np.ravel([n[1] for n in noises]))[0, 1]
    assert found == pytest.approx(correlation, abs=0.1)
    assert np.std(noises) == pytest.approx(np.std(alone), rel=0.08)
    # It is measured where all neighbours are there, and 0 where they are not.
    windows = [window + noise_of(window, correlation=correlation, seed=seed) for seed in range(2)]
    assert correlation_of(windows, PIXEL_MM) == pytest.approx(correlation, abs=0.15)
    assert correlation_of([middle(one)[None].repeat(3, 0) for one in windows], PIXEL_MM) == 0
