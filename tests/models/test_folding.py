from __future__ import annotations

import pytest
import torch
from torch import nn

from ctdenoise.models import NetworkConfig, build_network
from ctdenoise.models.folding import fold_batch_norm, halve_coarse


@pytest.mark.parametrize(
    "config",
    [{"encoder": name} for name in ("RN50", "RN50x4", "resnet18", "resnet50")] + [{"architecture": "dncnn"}],
    ids=lambda config: next(iter(config.values())),
)
def test_a_folded_network_has_no_batch_norm_and_the_same_output(config):
    network = build_network(NetworkConfig(**config), seed=0).eval()
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    image = torch.rand(1, NetworkConfig(**config).in_channels, 64, 48)
    with torch.inference_mode():
        before, folded = network(image), fold_batch_norm(network)
        assert torch.equal(network(image), before)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
        torch.testing.assert_close(folded(image), before, rtol=1e-4, atol=1e-5 * float(before.abs().max()))


def test_half_precision_is_used_for_the_coarse_decoder_maps_of_a_copy_only():
    network = build_network(NetworkConfig(encoder="resnet18"), seed=0).eval()
    halved = halve_coarse(network, torch.bfloat16)
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    half = {name for name, p in halved.named_parameters() if p.dtype == torch.bfloat16}
    assert {name.split(".")[1] + "." + name.split(".")[2] for name in half} == {
        "bottleneck.0", "bottleneck.2", "up.0", "up.1"
    }  # fmt: skip
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(halved(image), network(image), rtol=0.02, atol=0.02)
