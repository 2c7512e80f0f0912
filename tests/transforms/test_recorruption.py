from __future__ import annotations

import numpy as np
import pytest
import torch

from ctdenoise.transforms import RandRecorruptedd


def pairs(dose: tuple[float, float], count: int = 300, noise: float = 10.0):
    """Return noisy images of zeros, and the recorrupted inputs and targets."""
    rng = np.random.default_rng(0)
    transform = RandRecorruptedd("image", dose=dose).set_random_state(0)
    own = rng.normal(0, noise, (count, 1, 32, 32)).astype(np.float32)
    made = [transform({"image": n, "noise": rng.normal(0, noise, n.shape).astype(np.float32)}) for n in own]
    return own, np.stack([m["image"] for m in made]), np.stack([m["label"] for m in made])


def test_the_input_has_the_noise_of_its_dose():
    _, inputs, _ = pairs((0.25, 0.25))
    assert inputs.std() == pytest.approx(20, rel=0.02)


def test_the_noise_of_input_and_target_is_uncorrelated_although_both_contain_the_noise_of_the_image():
    own, inputs, targets = pairs((0.25, 0.25))
    assert abs(np.corrcoef(inputs.ravel(), targets.ravel())[0, 1]) < 0.01
    for copy in (inputs, targets):
        assert np.corrcoef(own.ravel(), copy.ravel())[0, 1] > 0.4


def test_the_learned_factor_also_removes_the_noise_of_the_image():
    # A uniform image contains only noise, so the best factor is 0; with noisy images as targets it is the dose, 0.25.
    own, inputs, targets = pairs((0.25, 0.25))
    assert abs((inputs * targets).sum() / (inputs**2).sum()) < 0.01
    assert (inputs * own).sum() / (inputs**2).sum() == pytest.approx(0.25, abs=0.02)


def test_doses_are_spread_log_uniformly():
    _, inputs, _ = pairs((0.04, 0.64))
    doses = (10 / inputs.std(axis=(1, 2, 3))) ** 2
    assert 0.03 < doses.min() < 0.06
    assert 0.5 < doses.max() < 0.75
    assert np.median(doses) == pytest.approx(0.16, rel=0.2)


def test_the_transform_is_seeded_keeps_tensors_and_removes_the_noise_key():
    def draw(seed: int):
        data = {"image": torch.zeros(1, 4, 4), "noise": torch.ones(1, 4, 4), "other": 1}
        return RandRecorruptedd("image", dose=(0.1, 0.9)).set_random_state(seed)(data)

    assert torch.equal(draw(3)["image"], draw(3)["image"])
    assert not torch.equal(draw(3)["image"], draw(4)["image"])
    assert draw(3).keys() == {"image", "label", "other"}
    assert isinstance(draw(3)["label"], torch.Tensor)


@pytest.mark.parametrize("dose", [(0.0, 0.5), (0.5, 0.1), (0.5, 1.0)])
def test_doses_out_of_range_are_refused(dose):
    with pytest.raises(ValueError, match="expected 0 < lowest ≤ highest < 1"):
        RandRecorruptedd("image", dose=dose)
