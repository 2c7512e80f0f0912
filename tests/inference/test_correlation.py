"""Correlated noise is found where it is, and pixel-shuffle does nothing but what it is for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ctdenoise.inference.correlation import (
    NoiseCorrelation,
    denoise_correlated_noise,
    denoise_sub_images,
    noise_autocorrelation,
)
from ctdenoise.io.images import read_image
from ctdenoise.models.denoiser import apply_to_any_size
from ctdenoise.models.zoo import load_model
from ctdenoise.noise.synthetic import NOISES
from ctdenoise.training.datasets import load_data

WHITE = [("gaussian", 15), ("gaussian", 25), ("gaussian", 50), ("speckle", 50), ("poisson", 2), ("poisson", 3.5)]
CORRELATED_NOISES = [("spatial gaussian", 45), ("spatial gaussian", 55)]


def box_noise(*shape: int, side: int) -> torch.Tensor:
    white = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    return F.avg_pool2d(F.pad(white, [side // 2] * 4, mode="circular"), side, stride=1)


def psnr(image: torch.Tensor, clean: torch.Tensor) -> float:
    return float(-10 * ((image.clamp(0, 1) - clean) ** 2).mean().log10())


def decision(image: torch.Tensor, denoised: torch.Tensor) -> NoiseCorrelation:
    """Return what is decided about an image that the network denoises to `denoised`."""
    return denoise_correlated_noise(lambda x: denoised if x.shape == image.shape else x, image)[1]


@pytest.mark.parametrize("step", [1, 2, 3, 5])
@pytest.mark.parametrize("shape", [(1, 3, 37, 50), (3, 1, 12, 12), (2, 3, 1, 7)])
def test_an_identity_gives_the_very_image(step, shape):
    image = torch.rand(*shape)
    assert torch.equal(denoise_sub_images(lambda x: x, image, step), image)


@pytest.mark.parametrize("steps", [(1, 2, 3), (2, 3), ()])
def test_an_identity_gives_the_very_image_whatever_is_averaged(steps, monkeypatch):
    monkeypatch.setattr("ctdenoise.inference.correlation._steps", lambda *_: steps)
    image = torch.rand(1, 3, 41, 64)
    clean, record = denoise_correlated_noise(lambda x: x, image)
    assert (record.relative_noise, record.pixel_shuffle) == (0.0, steps)
    assert clean.dtype == torch.float32
    assert torch.equal(clean, image)


def square_in_noise(std: float, side: int) -> torch.Tensor:
    image = torch.full((1, 3, 192, 192), 0.2)
    image[..., 64:128, 64:128] = 0.8
    return image + std * box_noise(*image.shape, side=side)


@pytest.mark.parametrize(
    ("std", "side", "steps"),
    [(0.05, 1, ()), (0.3, 1, ()), (0.02, 3, ()), (0.05, 3, (1, 2, 3)), (0.3, 3, (2, 3))],
)
@pytest.mark.parametrize("scale", [0.1, 1, 10])
def test_the_steps_follow_correlation_and_strength_of_the_noise_at_any_scale(std, side, steps, scale):
    clean = torch.full((1, 3, 192, 192), 0.2)
    clean[..., 64:128, 64:128] = 0.8
    noisy = clean + std * box_noise(*clean.shape, side=side)
    assert decision(scale * noisy, scale * clean).pixel_shuffle == steps


def test_each_sub_image_holds_every_third_pixel_of_all_channels():
    seen = []
    image = torch.arange(2 * 3 * 6 * 9.0).reshape(2, 3, 6, 9)
    denoise_sub_images(lambda x: seen.append(x) or x, image, 3)
    expected = [image[b, :, row::3, column::3] for b in range(2) for row in range(3) for column in range(3)]
    assert torch.equal(seen[0], torch.stack(expected))


@pytest.mark.parametrize("step", [2, 3])
def test_there_are_no_seams_for_a_convolution_becomes_a_dilated_one(step):
    kernel = torch.rand(1, 1, 3, 3)
    image = torch.rand(1, 1, 36, 48)
    found = denoise_sub_images(lambda x: F.conv2d(x, kernel, padding=1), image, step)
    torch.testing.assert_close(found, F.conv2d(image, kernel, padding=step, dilation=step))


@pytest.mark.parametrize(("side", "expected"), [(1, 0.0), (3, 2 / 3), (5, 4 / 5)])
def test_the_autocorrelation_of_known_noise_is_found(side, expected):
    clean = torch.full((1, 3, 256, 256), 0.5)
    noisy = clean + 0.1 * box_noise(*clean.shape, side=side)
    assert noise_autocorrelation(noisy, clean) == pytest.approx(expected, abs=0.03)


def test_clipped_regions_do_not_hide_the_noise():
    clean = torch.full((1, 3, 128, 128), 0.5)
    noisy = clean + 0.1 * box_noise(*clean.shape, side=3)
    clean[..., :96], noisy[..., :96] = 1.0, 1.0
    assert noise_autocorrelation(noisy, clean) > 0.5


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (300, 5)])
def test_images_too_small_to_measure_count_as_white(size):
    image = torch.rand(1, 3, *size)
    _, record = denoise_correlated_noise(lambda x: 0.9 * x, image)
    assert record.autocorrelation == 0
    assert record.pixel_shuffle == ()


@pytest.fixture(scope="module")
def network():
    model, _ = load_model("natural-lite")
    return lambda image: apply_to_any_size(model, image)


@pytest.fixture(scope="module")
def photographs(data):
    items = load_data("own-photos", data / "natural" / "bsds432")["validation"]
    assert len(items) == 22
    return [read_image(Path(item["image"])).values[:224, :224] for item in items]


def as_tensor(photograph: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(photograph.transpose(2, 0, 1).copy())[None]


@pytest.mark.parametrize(("kind", "level"), WHITE + CORRELATED_NOISES)
@torch.inference_mode()
def test_only_correlated_noise_of_photographs_is_treated_by_pixel_shuffle(kind, level, network, photographs):
    images = [as_tensor(NOISES[kind](photograph, level, np.random.RandomState(0))) for photograph in photographs]
    treated = [bool(decision(image, network(image)).pixel_shuffle) for image in images]
    share = np.mean(treated)
    assert share >= 0.95 if (kind, level) in CORRELATED_NOISES else share <= 0.05


@torch.inference_mode()
def test_pixel_shuffle_takes_away_more_of_correlated_noise(network, photographs):
    gains = []
    for photograph in photographs[::4]:
        clean = as_tensor(photograph)
        image = as_tensor(NOISES["spatial gaussian"](photograph, 55, np.random.RandomState(0)))
        denoised, record = denoise_correlated_noise(network, image)
        assert record.pixel_shuffle == (2, 3)
        gains.append(psnr(denoised, clean) - psnr(network(image), clean))
    assert min(gains) > 0
    assert np.mean(gains) > 1


@torch.inference_mode()
def test_photographs_without_added_noise_are_not_split(network, photographs):
    for photograph in photographs:
        image = as_tensor(photograph)
        assert decision(image, network(image)).pixel_shuffle == ()
