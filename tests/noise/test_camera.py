"""The simulated camera: variance against mean of raw data, and two photographs that differ only in noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ctdenoise.noise.camera import (
    Camera,
    demosaic,
    from_sensor,
    inverse_response,
    mosaic,
    noise_variance,
    photograph_pair,
    random_camera,
    response,
    to_sensor,
)

SHOT, READ = 0.16 / 4, 0.06 / 2


def cameras(count: int) -> list[Camera]:
    rng = np.random.RandomState(0)
    return [random_camera(rng) for _ in range(count)]


def smooth_image(size: int = 64) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    return torch.stack((0.2 + 0.5 * rows, 0.3 + 0.4 * columns, 0.7 - 0.4 * rows * columns))


@pytest.mark.parametrize("camera", cameras(4), ids=str)
def test_conversion_to_the_sensor_and_back_restores_the_photograph(camera):
    image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.98 + 0.01
    torch.testing.assert_close(from_sensor(to_sensor(image, camera), camera), image, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("tone_curve", [False, True])
def test_the_response_is_monotonic_and_its_inverse_restores_the_light(tone_curve):
    camera = Camera(torch.eye(3), tone_curve=tone_curve)
    light = torch.linspace(0, 1, 101)
    values = response(light, camera)
    assert bool((values.diff() > 0).all())
    torch.testing.assert_close(values[[0, -1]], torch.tensor([0.0, 1.0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(inverse_response(values, camera), light, atol=1e-4, rtol=1e-4)


def test_white_balance_keeps_grey():
    for camera in cameras(8):
        sensor = to_sensor(torch.full((3, 2, 2), 0.5), camera)
        balanced = sensor[:, 0, 0] * torch.tensor(camera.gains)
        torch.testing.assert_close(balanced, balanced[:1].expand(3), atol=1e-5, rtol=1e-4)
        assert bool((sensor[1] > sensor[0]).all())  # without balance, green is strongest
        assert bool((sensor[1] > sensor[2]).all())


def test_each_pixel_has_one_colour_in_the_rggb_pattern():
    sensor = torch.stack([torch.full((4, 6), value) for value in (1.0, 2.0, 3.0)])
    raw = mosaic(sensor)
    assert raw.shape == (1, 4, 6)
    assert raw[0, :2, :2].tolist() == [[1, 2], [2, 3]]
    assert bool((raw[0, ::2, ::2] == 1).all())
    assert bool((raw[0, 1::2, 1::2] == 3).all())


def test_demosaicking_keeps_measured_values_flat_colours_and_grey_ramps():
    image = torch.rand(3, 12, 14)
    raw = mosaic(image)
    assert torch.equal(mosaic(demosaic(raw)), raw)
    flat = torch.tensor([0.2, 0.5, 0.8]).reshape(3, 1, 1).expand(3, 10, 12)
    torch.testing.assert_close(demosaic(mosaic(flat))[:, 2:-2, 2:-2], flat[:, 2:-2, 2:-2])
    rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(14.0), indexing="ij")
    ramp = (0.1 + 0.01 * rows + 0.03 * columns).expand(3, -1, -1)
    torch.testing.assert_close(demosaic(mosaic(ramp))[:, 2:-2, 2:-2], ramp[:, 2:-2, 2:-2])


def test_raw_variance_is_linear_in_the_mean():
    """Fit a line to the noise variance at many signal levels: slope σs², intercept σc²."""
    levels = torch.linspace(0.05, 0.9, 12)
    rng = np.random.RandomState(0)
    normal = torch.from_numpy(rng.normal(size=(12, 40_000)))
    raw = levels[:, None] + noise_variance(levels, SHOT, READ).sqrt()[:, None] * normal
    slope, intercept = np.polyfit(raw.mean(1), raw.var(1), 1)
    assert slope == pytest.approx(SHOT**2, rel=0.05)
    assert intercept == pytest.approx(READ**2, rel=0.05)


def test_the_two_photographs_differ_only_in_noise():
    image, camera = smooth_image(), cameras(1)[0]
    noisy, clean = photograph_pair(image, camera, shot=0.0, read=0.0, rng=np.random.RandomState(0))
    assert torch.equal(noisy, clean)
    torch.testing.assert_close(clean[:, 2:-2, 2:-2], image[:, 2:-2, 2:-2], atol=0.02, rtol=0)
    noisy, again = photograph_pair(image, camera, shot=SHOT, read=READ, rng=np.random.RandomState(0))
    assert torch.equal(again, clean)
    assert 0.01 < (noisy - clean).std() < 0.3


def test_noise_of_a_photograph_is_correlated_between_neighbours():
    flat = torch.full((3, 128, 128), 0.4)
    noisy, clean = photograph_pair(flat, cameras(1)[0], shot=SHOT, read=READ, rng=np.random.RandomState(0))
    noise = (noisy - clean).numpy()
    assert np.corrcoef(noise[0, :, :-1].ravel(), noise[0, :, 1:].ravel())[0, 1] > 0.2
