from __future__ import annotations

import numpy as np
import pytest
import torch

from ctdenoise.transforms import RandKerneld


def wave(cycles_per_pixel: float) -> np.ndarray:
    return np.cos(2 * np.pi * cycles_per_pixel * np.arange(64, dtype=np.float32))[None, None].repeat(64, 1)


@pytest.mark.parametrize("sharpness", [-1.5, 1.0])
@pytest.mark.parametrize("frequency", [0.0, 0.125, 0.25, 0.5])
def test_each_frequency_is_multiplied_by_its_factor(sharpness, frequency):
    transform = RandKerneld("image", prob=1.0, sharpness=(sharpness, sharpness))
    changed = transform({"image": wave(frequency)})["image"]
    np.testing.assert_allclose(changed, wave(frequency) * np.exp(sharpness * (2 * frequency) ** 2), atol=1e-5)


def test_all_keys_are_filtered_with_the_same_kernel_and_some_images_not_at_all():
    transform = RandKerneld(["image", "noise"], prob=0.5, sharpness=(-2, 1)).set_random_state(0)
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 20, 30)).astype(np.float32))
    results = [transform({"image": image, "noise": 2 * image, "other": 1}) for _ in range(60)]
    for result in results:
        torch.testing.assert_close(result["noise"], 2 * result["image"])
        assert result["image"].mean() == pytest.approx(float(image.mean()), abs=1e-6)
    assert 15 < sum(torch.equal(result["image"], image) for result in results) < 45
