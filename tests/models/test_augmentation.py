from __future__ import annotations

import pytest
import torch

from ctdenoise.models import ProgressiveFeatureAugmentation


def test_multiplies_feature_i_by_a_normal_of_mean_1_and_deviation_i_gamma_and_never_the_image():
    torch.manual_seed(0)
    augment = ProgressiveFeatureAugmentation(0.05).train()
    features = [torch.full((1, 8, 100, 100), 2.0) for _ in range(5)]
    image, *maps = augment(features)
    assert torch.equal(image, features[0])
    for i, f in enumerate(maps, start=1):
        factor = f / 2
        assert factor.mean().item() == pytest.approx(1, abs=0.005)
        assert factor.std().item() == pytest.approx(i * 0.05, rel=0.02)


def test_does_nothing_in_evaluation_or_without_gamma():
    features = [torch.rand(1, 2, 4, 4) for _ in range(5)]
    for module in (ProgressiveFeatureAugmentation(0.05).eval(), ProgressiveFeatureAugmentation(0.0).train()):
        assert all(torch.equal(a, b) for a, b in zip(module(features), features, strict=True))


def test_negative_gamma_is_refused():
    with pytest.raises(ValueError, match="at least 0"):
        ProgressiveFeatureAugmentation(-0.1)
