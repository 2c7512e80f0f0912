"""Correlated noise is found where it is, and pixel-shuffle does nothing but what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ctdenoise.inference.correlation import (
    CORRELATED,
    PIXEL_SHUFFLE_STEPS,
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


@pytest.mark.parametrize("step", [1, 2, 3, 5])
@pytest.mark.parametrize("shape", [(1, 3, 37, 50), (3, 1, 12, 12), (2, 3, 1, 7)])
def test_an_identity_gives_the_very_image(step, shape):
    image = torch.rand(*shape)
    assert torch.equal(denoise_sub_images(lambda x: x, image, step), image)


def test_an_identity_gives_the_very_image_where_noise_counts_as_correlated(monkeypatch):
    monkeypatch.setattr("ctdenoise.inference.correlation.CORRELATED", -1.0)
    image = torch.rand(1, 3, 41, 64)
    clean, record = denoise_correlated_noise(lambda x: x, image)
    assert record.pixel_shuffle == PIXEL_SHUFFLE_STEPS
    assert torch.equal(clean, image)


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
    assert (record.autocorrelation, record.pixel_shuffle) == (0.0, ())


@pytest.fixture(scope="module")
def network():
    model, _ = load_model("natural-lite")
    return lambda image: apply_to_any_size(model, image)


@pytest.fixture(scope="module")
def photographs(data):
    items = load_data("own-photos", data / "natural" / "bsds432")["validation"]
    assert len(items) == 22
    return [read_image(item["image"]).values[:224, :224] for item in items]


@pytest.mark.parametrize(("kind", "level"), WHITE + CORRELATED_NOISES)
@torch.inference_mode()
def test_the_noise_of_photographs_is_told_apart(kind, level, network, photographs):
    found = []
    for photograph in photographs:
        noisy = NOISES[kind](photograph, level, np.random.RandomState(0))
        image = torch.from_numpy(noisy.transpose(2, 0, 1).copy())[None]
        found.append(noise_autocorrelation(image, network(image)) >= CORRELATED)
    share = np.mean(found)
    assert share >= 0.95 if (kind, level) in CORRELATED_NOISES else share <= 0.05


@torch.inference_mode()
def test_pixel_shuffle_takes_away_more_of_correlated_noise(network, photographs):
    gains = []
    for photograph in photographs[::4]:
        noisy = NOISES["spatial gaussian"](photograph, 55, np.random.RandomState(0))
        image, clean = (torch.from_numpy(x.transpose(2, 0, 1).copy())[None] for x in (noisy, photograph))
        denoised, record = denoise_correlated_noise(network, image)
        assert record.pixel_shuffle == (2, 3)
        gains.append(psnr(denoised, clean) - psnr(network(image), clean))
    assert np.mean(gains) > 1
