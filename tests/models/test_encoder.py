from __future__ import annotations

import copy

import pytest
import torch
from open_clip.modified_resnet import ModifiedResNet

from ctdenoise.models import ClipResNetEncoder, build_encoder, build_network
from ctdenoise.models.denoiser import NetworkConfig
from ctdenoise.models.encoder import calibrate_batch_norm


def test_encoders_return_five_maps_at_the_expected_scales():
    encoder = ClipResNetEncoder().eval()
    image = torch.rand(1, 3, 64, 96)
    maps = encoder(image)
    assert maps[0] is image
    assert [tuple(m.shape[1:]) for m in maps] == [
        (3, 64, 96),
        (64, 32, 48),
        (256, 16, 24),
        (512, 8, 12),
        (1024, 4, 6),
    ]
    assert encoder.channels == tuple(m.shape[1] for m in maps)


def test_the_stem_map_precedes_average_pooling_and_the_other_maps_equal_open_clips():
    resnet = ModifiedResNet(layers=(3, 4, 6, 3), output_dim=1024, heads=32, width=64).eval()
    encoder = ClipResNetEncoder().eval()
    encoder.load_state_dict(
        {k: v for k, v in resnet.state_dict().items() if not k.startswith(("layer4", "attnpool"))}, strict=True
    )
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        _, stem, *_, layer3 = encoder(image)
        assert torch.equal(resnet.avgpool(stem), resnet.stem(image))
        assert torch.equal(layer3, resnet.layer3(resnet.layer2(resnet.layer1(resnet.stem(image)))))


@pytest.mark.parametrize("name", ["RN50", "resnet18"])
def test_training_changes_no_parameter_or_buffer_of_a_frozen_encoder(name):
    network = build_network(NetworkConfig(encoder=name), seed=0).train()
    before = copy.deepcopy(network.encoder.state_dict())
    optimizer = torch.optim.SGD((p for p in network.parameters() if p.requires_grad), lr=0.1)
    for _ in range(2):
        network.train()
        network(torch.rand(2, 1, 32, 32)).square().mean().backward()
        optimizer.step()
    after = network.encoder.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_in_adapt_mode_training_changes_batch_norm_statistics_only():
    network = build_network(NetworkConfig(encoder="RN50"), batch_norm="adapt", seed=0).train()
    before = copy.deepcopy(network.encoder.state_dict())
    network(torch.rand(2, 1, 32, 32)).mean().backward()
    after = network.encoder.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {key for key in before if "running" in key or "num_batches" in key}
    assert all(p.grad is None for p in network.encoder.parameters())
    network.eval()
    network(torch.rand(2, 1, 32, 32))
    assert all(torch.equal(after[key], network.encoder.state_dict()[key]) for key in after)


def test_a_trainable_encoder_gets_gradients():
    encoder = ClipResNetEncoder(trainable=True).train()
    encoder(torch.rand(1, 3, 32, 32))[-1].mean().backward()
    assert encoder.conv1.weight.grad.abs().sum() > 0


def test_calibration_makes_random_features_standard_normal_before_their_activation():
    encoder = ClipResNetEncoder()
    images = torch.rand(4, 3, 64, 64)
    calibrate_batch_norm(encoder, images)
    with torch.no_grad():
        normalised = encoder.bn1(encoder.conv1(images))
    assert normalised.mean((0, 2, 3)).abs().max() < 1e-3
    assert (normalised.var((0, 2, 3)) - 1).abs().max() < 2e-2


def test_unknown_names_and_wrong_scales_are_refused():
    with pytest.raises(ValueError, match=r"RN50.*found 'RN5'"):
        build_encoder("RN5")
    with pytest.raises(ValueError, match="expected feature maps at"):
        build_encoder("convnext_atto")
    with pytest.raises(ValueError, match="'frozen' or 'adapt'"):
        build_encoder("RN50", batch_norm="melted")
