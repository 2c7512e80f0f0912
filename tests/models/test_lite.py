from __future__ import annotations

import pytest
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


def test_an_equivariant_network_has_no_biases():
    config = NetworkConfig(architecture="lite", out_channels=3, level_equivariant=True)
    network = build_network(config, seed=0)
    assert not [name for name, _ in network.named_parameters() if name.endswith("bias")]


@pytest.mark.parametrize("slices", [3, 5])
@pytest.mark.parametrize("fields", [{"residual": 9}, {"level_equivariant": True}])
def test_with_context_it_redraws_the_middle_slice(slices, fields):
    network = build_network(NetworkConfig(architecture="lite", context=slices, **fields), seed=0).eval()
    image = torch.rand(2, slices, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(network(image), image[:, slices // 2 :][:, :1])
        torch.nn.init.normal_(network.last.weight, std=0.05)
        other = image.clone()
        other[:, 0] = 0.5
        assert not torch.equal(network(other), network(image))
