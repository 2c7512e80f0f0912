from __future__ import annotations

import numpy as np
import pytest
import torch

from ctdenoise.transforms import RandBankNoised, RandCTNoise, RandCTNoised


def realisations(transform: RandCTNoise, count: int = 400) -> np.ndarray:
    transform.set_random_state(0)
    return np.stack([np.asarray(transform(np.zeros((1, 64, 64), np.float32)))[0] for _ in range(count)])


@pytest.mark.parametrize(("cutoff", "white"), [(0.2, 0), (1.0, 0), (1.0, 1)])
def test_the_noise_has_the_requested_standard_deviation_and_zero_mean(cutoff, white):
    noise = realisations(RandCTNoise((3, 3), cutoff=(cutoff, cutoff), white=white))
    assert noise.std() == pytest.approx(3, rel=0.01)
    assert noise.mean() == pytest.approx(0, abs=0.02)


def test_power_spectrum_is_a_ramp_times_the_squared_apodisation():
    noise = realisations(RandCTNoise((1, 1), cutoff=(0.4, 0.4)))
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean(0)
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None])
    theory = frequency * np.exp(-2 * (frequency / 0.4) ** 2)
    assert power[0, 0] == pytest.approx(0, abs=1e-6)
    for low in np.arange(0.05, 0.5, 0.05):
        ring = (frequency >= low) & (frequency < low + 0.05)
        ratio = power[ring].sum() / power.sum() / (theory[ring].sum() / theory.sum())
        assert ratio == pytest.approx(1, rel=0.05)


def test_levels_are_drawn_from_the_range():
    levels = realisations(RandCTNoise((10, 90)), 200).std(axis=(1, 2))
    assert 8 < levels.min() < 15
    assert 80 < levels.max() < 100


def test_the_dictionary_form_is_seeded_independent_for_each_key_and_keeps_tensors():
    def draw(seed: int) -> dict[str, torch.Tensor]:
        transform = RandCTNoised(["a", "b"], (1, 1)).set_random_state(seed)
        return transform({"a": torch.zeros(1, 8, 8), "b": torch.zeros(1, 8, 8), "c": 1})

    first, again, other = draw(1), draw(1), draw(2)
    assert torch.equal(first["a"], again["a"])
    assert not torch.equal(first["a"], first["b"])
    assert not torch.equal(first["a"], other["a"])
    assert first["c"] == 1


BANK = [np.random.default_rng(seed).normal(size=(90, 70)).astype(np.float32) for seed in range(3)]


def test_bank_noise_is_a_scaled_crop_of_a_realisation():
    transform = RandBankNoised("image", [np.arange(6300, dtype=np.float32).reshape(90, 70)], std=(2, 2))
    noise = transform.set_random_state(0)({"image": np.zeros((1, 20, 20), np.float32)})["image"][0] / 2
    steps = {abs(float(step)) for step in (noise[0, 1] - noise[0, 0], noise[1, 0] - noise[0, 0])}
    assert steps == {1.0, 70.0}  # whatever was flipped and turned


def test_bank_noise_keeps_mean_and_standard_deviation_over_the_range():
    transform = RandBankNoised("image", BANK, std=(4, 64), white=0.3).set_random_state(0)
    noise = np.stack([transform({"image": np.zeros((1, 32, 32), np.float32)})["image"] for _ in range(400)])
    levels = noise.std(axis=(1, 2, 3))
    assert 3.5 < levels.min() < 5
    assert 56 < levels.max() < 72
    assert np.median(levels) == pytest.approx(16, rel=0.15)  # log-uniform
    assert abs(noise.mean()) < 0.1


def test_bank_noise_covers_images_larger_than_a_realisation_and_keeps_tensors():
    transform = RandBankNoised("image", BANK, std=(1, 1)).set_random_state(0)
    noisy = transform({"image": torch.zeros(3, 200, 64), "label": 1})
    assert noisy["image"].shape == (3, 200, 64)
    assert noisy["label"] == 1
    assert noisy["image"].std() == pytest.approx(1, rel=0.1)
    assert not torch.equal(noisy["image"][0], noisy["image"][1])


def test_bank_noise_is_seeded():
    def draw(seed: int) -> np.ndarray:
        transform = RandBankNoised("image", BANK, std=(1, 9)).set_random_state(seed)
        return transform({"image": np.zeros((1, 16, 16), np.float32)})["image"]

    assert np.array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))
