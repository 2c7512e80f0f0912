from __future__ import annotations

import copy

import pytest
import torch

from ctdenoise.errors import InputError
from ctdenoise.models import ClipResNetEncoder, NetworkConfig, build_encoder, build_network
from ctdenoise.models.encoder import batch_norms, calibrate_batch_norm
from ctdenoise.models.weights import load_encoder, save_weights
from ctdenoise.models.zoo import load_model

#: Layouts of level-equivariant networks.
LAYOUTS = [
    {"architecture": "lite"},
    {"encoder": "RN50"},
    {"encoder": "resnet18"},
]


def photograph(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def network_of(fields: dict[str, str]) -> torch.nn.Module:
    """An untrained network whose output is not the image."""
    network = build_network(NetworkConfig(**fields, out_channels=3, level_equivariant=True), seed=0).eval()
    last = network.last if fields.get("architecture") == "lite" else network.decoder.last
    torch.nn.init.normal_(last.weight, std=0.05)
    if "encoder" in fields:
        calibrate_batch_norm(network.encoder, photograph(2, 3, 64, 64))
    return network


def equivariance_error(network: torch.nn.Module, image: torch.Tensor, factor: float) -> float:
    """Largest difference of f(a y) and a f(y), relative to the largest value of a f(y)."""
    with torch.inference_mode():
        scaled = factor * network(image)
        return float((network(factor * image) - scaled).abs().max() / scaled.abs().max())


@pytest.mark.parametrize("factor", [0.1, 0.3, 2.0, 7.3, 10.0])
def test_untrained_networks_and_those_that_ship_are_level_equivariant(factor):
    shipped = [load_model(name)[0] for name in ("natural-lite", "natural-gaussian")]
    image = photograph(1, 3, 64, 96)
    for network in (*shipped, *map(network_of, LAYOUTS)):
        assert not torch.equal(network(image), image)
        assert equivariance_error(network, image, factor) < 1e-5


def test_without_the_property_it_does_not_hold():
    network = build_network(NetworkConfig(encoder="RN50", out_channels=3, residual=33), seed=0).eval()
    torch.nn.init.normal_(network.decoder.last.weight, std=0.05)
    calibrate_batch_norm(network.encoder, photograph(2, 3, 64, 64))
    assert equivariance_error(network, photograph(1, 3, 64, 96), 0.3) > 1e-3


@pytest.mark.parametrize("fields", LAYOUTS)
def test_they_start_from_the_image(fields):
    network = build_network(NetworkConfig(**fields, out_channels=3, level_equivariant=True), seed=0).eval()
    image = photograph(1, 3, 32, 48)
    assert torch.equal(network(image), image)


def test_a_grey_image_is_repeated_for_the_encoder_and_the_middle_slice_is_the_one_that_is_redrawn():
    network = build_network(NetworkConfig(encoder="RN50", level_equivariant=True, context=3), seed=0).eval()
    slices = photograph(1, 3, 32, 48)
    with torch.inference_mode():
        assert torch.equal(network(slices), slices[:, 1:2])
        assert torch.equal(network(slices[:, :1]), slices[:, :1])


def test_training_changes_an_encoders_scales_and_kernels_but_keeps_its_biases_and_means_at_zero():
    network = build_network(
        NetworkConfig(encoder="RN50", out_channels=3, level_equivariant=True), trainable_encoder=True, seed=0
    ).train()
    torch.nn.init.normal_(network.decoder.last.weight, std=0.05)
    before = copy.deepcopy(network.encoder.state_dict())
    optimizer = torch.optim.SGD((p for p in network.parameters() if p.requires_grad), lr=0.1)
    network(photograph(2, 3, 32, 32)).square().mean().backward()
    optimizer.step()
    after = network.encoder.state_dict()
    assert not torch.equal(before["bn1.weight"], after["bn1.weight"])
    assert not torch.equal(before["conv1.weight"], after["conv1.weight"])
    assert not any(norm.bias.any() or norm.running_mean.any() for norm in batch_norms(network.encoder))


def test_calibration_makes_the_root_mean_square_of_the_features_one_and_leaves_their_mean():
    encoder = ClipResNetEncoder(level_equivariant=True)
    images = photograph(4, 3, 64, 64)
    calibrate_batch_norm(encoder, images)
    with torch.no_grad():
        first = encoder.bn1(encoder.conv1(images))
        second = encoder.bn2(encoder.conv2(encoder.act1(first.clone())))  # it works in place
    for normalised in (first, second):
        assert normalised.square().mean((0, 2, 3)).sqrt() == pytest.approx(torch.ones(normalised.shape[1]), abs=1e-2)
    assert not any(norm.running_mean.any() for norm in batch_norms(encoder))
    assert not any(norm._forward_pre_hooks for norm in batch_norms(encoder))


@pytest.mark.parametrize("tensor", ["bn1.bias", "layer2.1.bn2.running_mean"])
def test_an_encoder_with_biases_or_means_is_refused(tmp_path, tensor):
    path = tmp_path / "encoder.safetensors"
    state = build_encoder("RN50", level_equivariant=True).state_dict()
    save_weights(state, path)
    load_encoder(build_encoder("RN50", level_equivariant=True), path)
    state[tensor][3] = 0.1
    save_weights(state, path)
    load_encoder(build_encoder("RN50"), path)
    with pytest.raises(InputError, match=r"encoder\.safetensors.*neither bias nor mean.*ctdenoise-rn50-equivariant"):
        load_encoder(build_encoder("RN50", level_equivariant=True), path)


def test_batch_norm_that_adapts_is_refused():
    with pytest.raises(ValueError, match="expected batch_norm 'frozen', found 'adapt'"):
        build_encoder("RN50", batch_norm="adapt", level_equivariant=True)


@pytest.mark.parametrize(
    "fields", [{"architecture": "dncnn"}, {"architecture": "lite", "residual": 9}, {"encoder": "RN50", "residual": 9}]
)
def test_other_networks_are_not_level_equivariant(fields):
    with pytest.raises(ValueError, match="level_equivariant: expected architecture 'clip' or 'lite' with residual 0"):
        NetworkConfig(**fields, level_equivariant=True)
