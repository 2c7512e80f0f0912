from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from ctdenoise.models import NetworkConfig, build_network

LITE = NetworkConfig(architecture="lite", residual=9)


def operations(network: torch.nn.Module, channels: int) -> int:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network.eval()(torch.zeros(1, channels, 64, 64))
    return counter.get_total_flops()


def test_it_has_a_million_parameters_and_a_tenth_of_the_operations():
    lite = build_network(LITE)
    assert sum(p.numel() for p in lite.parameters()) < 1e6
    large = build_network(NetworkConfig(encoder="RN50", residual=9))
    assert operations(lite, 1) < operations(large, 3) / 10


def test_it_starts_from_the_image_and_never_changes_a_regions_mean():
    lite, image = build_network(LITE, seed=0).eval(), torch.rand(2, 1, 64, 96)
    with torch.inference_mode():
        assert torch.equal(lite(image), image)
        torch.nn.init.normal_(lite.last.weight, std=0.05)
        change = lite(image) - image
    assert change.abs().max() > 0.01
    # The mean over squares of 9 is taken out; over squares of 45 little of it is left.
    assert change[..., 4:49, 4:49].mean().abs() < 0.05 * change.std()


def test_without_residual_it_gives_the_image_itself():
    assert build_network(NetworkConfig(architecture="lite"), seed=0)(torch.rand(1, 1, 32, 48)).shape == (1, 1, 32, 48)
