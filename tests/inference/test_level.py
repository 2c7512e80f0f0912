"""Noise stronger than in training is measured, and images without it are left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ctdenoise.inference.level import noise_level, noise_std, normalise_level
from ctdenoise.inference.photograph_noise import denoise_photograph
from ctdenoise.io.images import read_image
from ctdenoise.training.datasets import load_data

TRAINING = 15 / 255


def edges(std: float, *, size: tuple[int, int] = (160, 200)) -> Tensor:
    rows, columns = np.mgrid[: size[0], : size[1]]
    clean = 0.3 + 0.4 * ((rows // 20 + columns // 20) % 2)
    noisy = clean + np.random.default_rng(0).normal(0, std, (1, 3, *size))
    return torch.from_numpy(noisy.astype(np.float32))


class Recorder:
    """Returns half of what it sees, and keeps it."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, image: Tensor) -> Tensor:
        self.seen.append(image)
        return image / 2


@pytest.mark.parametrize("std", [0.02, 15 / 255, 50 / 255])
def test_white_noise_is_measured_beside_edges(std):
    assert noise_std(edges(std)[0]) == pytest.approx(std, rel=0.08)


def test_white_noise_is_measured_in_photographs(data):
    items = load_data("own-photos", data / "natural" / "bsds432")["validation"][:6]
    for item in items:
        clean = read_image(Path(item["image"])).values.transpose(2, 0, 1)
        noisy = clean + np.random.default_rng(0).normal(0, 50 / 255, clean.shape)
        assert noise_std(torch.from_numpy(noisy.astype(np.float32))) == pytest.approx(50 / 255, rel=0.1)


@pytest.mark.parametrize("std", [0.0, 5 / 255, 15 / 255])
def test_noise_that_is_not_stronger_than_in_training_is_left_to_the_network(std):
    image, network = edges(std), Recorder()
    assert noise_level(image, TRAINING).scale == 1
    assert torch.equal(normalise_level(network, TRAINING, image), image / 2)
    assert torch.equal(network.seen[0], image)


def test_the_network_sees_the_noise_of_its_training():
    image, network = edges(50 / 255), Recorder()
    result = normalise_level(network, TRAINING, image)
    assert noise_std(network.seen[0][0]) == pytest.approx(TRAINING, rel=0.01)
    scale = noise_level(image, TRAINING).scale
    torch.testing.assert_close(result, image - network.seen[0] / 2 / scale)
    torch.testing.assert_close(network.seen[0].mean(), image.mean())


@pytest.mark.parametrize("std", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("correlated_noise", [True, False])
def test_an_identity_gives_the_very_image(std, correlated_noise):
    image = edges(std, size=(37, 50))
    clean, record = denoise_photograph(lambda x: x, image, training_noise=TRAINING, correlated_noise=correlated_noise)
    assert torch.equal(clean, image)
    assert record.level is not None
    assert (record.correlation is None) is not correlated_noise


def test_a_network_for_one_level_becomes_one_for_stronger_noise():
    """A denoiser of a constant image that takes away at most what its training's noise is."""

    def network(image: Tensor) -> Tensor:
        change = image - image.mean(dim=(-2, -1), keepdim=True)
        return image - change.clamp(-3 * TRAINING, 3 * TRAINING)

    noisy = 0.5 + torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.3
    assert network(noisy).std() > 0.1
    assert normalise_level(network, TRAINING, noisy).std() < 0.02


def test_tiny_images_have_no_measurable_noise():
    assert noise_std(torch.rand(3, 2, 5)) == 0
