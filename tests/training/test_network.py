from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ctdenoise.errors import InputError
from ctdenoise.models import ClipDenoiser, DnCNN, NetworkConfig, build_network
from ctdenoise.models.zoo import load_model, model_folder
from ctdenoise.training import WholeImageInferer, calibrate, initialise_network
from ctdenoise.training.network import for_single_slices

PAPER = {"grey_input": "conv", "out_channels": 1}


def test_the_default_encoder_is_the_one_that_ships():
    network = initialise_network(PAPER, encoder="ctdenoise-rn50", gamma=0.025)
    shipped, _ = load_model("ct-lowdose")
    ours, theirs = network.encoder.state_dict(), shipped.encoder.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not any(p.requires_grad for p in network.encoder.parameters())


def test_weights_for_single_slices_begin_a_network_with_context():
    """Which then ignores the neighbours."""
    layout = {"architecture": "lite", "residual": 33}
    weights = model_folder("ct-lowdose-lite") / "decoder.safetensors"
    single = initialise_network(layout, encoder=None, decoder_weights=weights).eval()
    network = initialise_network({**layout, "context": 3}, encoder=None, decoder_weights=weights).eval()
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(network(image), single(image[:, 1:2]), rtol=0, atol=1e-6)
    with pytest.raises(InputError, match=r"first\.0\.weight of shape"):
        initialise_network({"architecture": "lite", "out_channels": 3}, encoder=None, decoder_weights=weights)


@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig(architecture="lite", residual=9, context=3),
        NetworkConfig(encoder="resnet18", residual=9, context=3),
    ],
    ids=["lite", "clip"],
)
def test_a_network_with_context_becomes_one_for_single_slices(config):
    """With the output that it has where the slice itself stands for its neighbours."""
    network = build_network(config, seed=0).eval()
    for values in network.parameters():
        torch.nn.init.normal_(values, std=0.02)
    single, layout = for_single_slices(network, config)
    assert layout == replace(config, context=1)
    assert not single.training
    image = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    channels = 1 if config.architecture == "lite" else 3
    with torch.inference_mode():
        found, expected = single(image.expand(-1, channels, -1, -1)), network(image.expand(-1, 3, -1, -1))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(network(torch.cat([image, image, image * 0.5], 1)), expected, atol=1e-4)


def test_ablations_are_fields_of_the_configuration():
    network = initialise_network(
        {**PAPER, "levels": 2, "image_feature": False}, encoder="random-rn50", gamma=0.0, trainable_encoder=True
    )
    assert isinstance(network, ClipDenoiser)
    assert network.augmentation.gamma == 0
    assert len(network.decoder.up) == 2
    assert all(p.requires_grad for p in network.encoder.parameters())


def test_baselines_are_built_in_place_of_the_network():
    network = initialise_network({**PAPER, "architecture": "dncnn"}, encoder="ctdenoise-rn50", gamma=0.025)
    assert isinstance(network, DnCNN)


def test_seeds_repeat_and_differ():
    weights = [
        initialise_network(PAPER, encoder="random-resnet18", gamma=0, seed=seed).decoder.last.weight
        for seed in (1, 1, 2)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_only_encoders_whose_weights_are_random_are_calibrated():
    items = [{"image": torch.rand(3, 40, 50)}, {"image": torch.rand(3, 64, 33)}]
    random = initialise_network({"out_channels": 3}, encoder="random-resnet18", gamma=0)
    before = random.encoder.body.bn1.running_mean.clone()
    calibrate(random, "random-resnet18", None, items, lambda item: item)
    assert not torch.equal(random.encoder.body.bn1.running_mean, before)
    before = random.encoder.body.bn1.running_mean.clone()
    calibrate(random, "random-resnet18", "encoder.safetensors", items[:1], lambda item: item)
    assert torch.equal(random.encoder.body.bn1.running_mean, before)
    trained = initialise_network({"out_channels": 3}, encoder="ctdenoise-rn50", gamma=0)
    before = trained.encoder.bn1.running_mean.clone()
    calibrate(trained, "ctdenoise-rn50", None, items, lambda item: item)
    assert torch.equal(trained.encoder.bn1.running_mean, before)


def test_without_hub_the_error_for_pre_trained_encoders_says_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="--encoder random-resnet18"):
        initialise_network(PAPER, encoder="resnet18", gamma=0)


def test_inference_works_on_whole_images_of_any_size():
    image = torch.rand(2, 1, 21, 50)
    assert torch.equal(WholeImageInferer()(image, torch.nn.Identity()), image)
