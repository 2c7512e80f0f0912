from __future__ import annotations

import pytest
import torch

from ctdenoise.training import PrepareMixedBatch


def batch(count=64, noise=0.1):
    generator = torch.Generator().manual_seed(0)
    label = torch.rand(count, 1, 1, 1, generator=generator).expand(-1, 1, 16, 16)
    return {"image": label + noise * torch.randn(label.shape, generator=generator), "label": label}


def test_with_probability_0_the_batch_is_not_changed():
    data = batch()
    image, label = PrepareMixedBatch(0.0, 1.2)(data)
    assert torch.equal(image, data["image"])
    assert torch.equal(label, data["label"])


def test_noisy_and_clean_images_are_blended_with_the_same_lambda():
    torch.manual_seed(1)
    data = batch(noise=0.0)
    image, label = PrepareMixedBatch(1.0, 1.2)(data)
    assert torch.equal(image, label)
    assert not torch.equal(label, data["label"])
    assert label.mean() == pytest.approx(data["label"].mean().item(), abs=1e-5)


def test_the_noise_is_reduced_as_documented():
    """Half of the batches are mixed with λ from Beta(1.2, 1.2): 0.90 of the noise on average, at least √½."""
    torch.manual_seed(0)
    data, mix = batch(), PrepareMixedBatch(0.5, 1.2)
    shrunk = []
    for _ in range(400):
        image, label = mix(data)
        shrunk.append(((image - label).std() / 0.1).item())
    assert sum(shrunk) / len(shrunk) == pytest.approx(0.90, abs=0.01)
    assert min(shrunk) == pytest.approx(0.5**0.5, abs=0.02)
    assert sum(s > 0.999 * max(shrunk) for s in shrunk) / len(shrunk) == pytest.approx(0.5, abs=0.08)
