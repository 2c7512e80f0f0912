from __future__ import annotations

import pytest
import torch

from ctdenoise import Denoiser
from ctdenoise.models import REDCNN, DnCNN, NetworkConfig, build_network, zoo
from tests.models.test_zoo import DESCRIPTION


def test_parameter_counts_are_those_of_the_papers():
    # RED-CNN: five 5×5 layers of 96 filters each way; DnCNN: 17 layers of 64 with BatchNorm.
    assert sum(p.numel() for p in REDCNN().parameters()) == 1_848_865
    assert sum(p.numel() for p in DnCNN().parameters()) == 556_097


def test_dncnn_subtracts_the_predicted_noise():
    network = DnCNN().eval()
    image = torch.rand(1, 1, 33, 20)
    with torch.no_grad():
        torch.testing.assert_close(network(image) + network.noise(image), image)


def test_redcnn_keeps_the_size_and_has_additive_skip_connections():
    network = REDCNN(3)
    image = torch.rand(1, 3, 32, 48)
    assert network(image).shape == image.shape
    torch.nn.init.zeros_(network.up[4].weight)
    torch.nn.init.zeros_(network.up[4].bias)
    assert torch.equal(network(image), image)  # only the outermost skip connection


@pytest.mark.parametrize("architecture", ["dncnn", "redcnn"])
def test_baselines_are_saved_and_loaded_as_models(architecture, tmp_path):
    network = {"architecture": architecture, "out_channels": 1}
    model = build_network(NetworkConfig(**network), seed=0).eval()
    description = zoo.save_model(model, tmp_path / "m", **{**DESCRIPTION, "network": network, "encoder_name": None})
    assert description.encoder_file is None
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["decoder.safetensors", "model.json"]
    denoiser = Denoiser.from_pretrained(tmp_path / "m")
    assert denoiser.channels == 1
    hu = torch.full((40, 40), 40.0).numpy()
    assert denoiser(hu).shape == (40, 40)


def test_contradictory_configurations_are_refused():
    with pytest.raises(ValueError, match="expected 'clip', 'lite', 'dncnn' or 'redcnn'"):
        NetworkConfig(architecture="unet", encoder="RN50")
    with pytest.raises(ValueError, match="expected no encoder"):
        NetworkConfig(architecture="dncnn", encoder="RN50")
    with pytest.raises(ValueError, match="expected an encoder"):
        NetworkConfig()
