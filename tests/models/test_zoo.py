from __future__ import annotations

import json
import os
import stat

import numpy as np
import pytest
import torch

from ctdenoise import Denoiser
from ctdenoise.errors import InputError
from ctdenoise.models import NetworkConfig, build_network, zoo
from ctdenoise.models.weights import load_encoder

DESCRIPTION = {
    "name": "test",
    "version": "1",
    "summary": "a test",
    "licence": "CC0-1.0",
    "training_data": "none",
    "encoder_name": "random-resnet18",
    "network": {"encoder": "resnet18", "grey_input": "conv", "out_channels": 1, "align_corners": False},
    "hu_range": (-1024.0, 3072.0),
}


def save(folder, seed=0, **options):
    network = build_network(NetworkConfig(**DESCRIPTION["network"]), seed=seed)
    return network, zoo.save_model(network, folder, **{**DESCRIPTION, **options})


def test_a_saved_model_is_loaded_again_within_half_precision(tmp_path):
    network, description = save(tmp_path / "m")
    loaded, again = zoo.load_model(tmp_path / "m")
    assert again == description
    image = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(image), network.eval()(image), rtol=5e-3, atol=1e-4)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    assert all(tensor.device.type == "cpu" for tensor in loaded.state_dict().values())
    out = Denoiser.from_pretrained(tmp_path / "m")(np.zeros((20, 20)))
    assert out.shape == (20, 20)


@pytest.mark.parametrize("name", zoo.available())
def test_loading_a_model_does_not_change_the_global_generator(name):
    before = torch.get_rng_state()
    Denoiser.from_pretrained(name)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_files_get_the_permissions_of_the_umask(umask, tmp_path):
    before = os.umask(umask)
    try:
        save(tmp_path / "m")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "m").iterdir()}
    assert modes == dict.fromkeys(("encoder.safetensors", "decoder.safetensors", "model.json"), 0o666 & ~umask)


def test_models_share_an_encoder_file_and_refuse_another_encoder(tmp_path):
    save(tmp_path / "a", encoder_file="../encoders/e.safetensors")
    save(tmp_path / "b", encoder_file="../encoders/e.safetensors")
    assert zoo.verify(tmp_path / "a").encoder_sha256 == zoo.verify(tmp_path / "b").encoder_sha256
    other = build_network(NetworkConfig(**DESCRIPTION["network"]), seed=9)
    with pytest.raises(InputError, match="expected the encoder this decoder was trained on"):
        zoo.save_model(other, tmp_path / "c", encoder_file="../encoders/e.safetensors", **DESCRIPTION)
    assert not (tmp_path / "c" / "model.json").exists()


def test_changed_and_missing_weights_are_refused(tmp_path):
    save(tmp_path / "m")
    file = tmp_path / "m" / "decoder.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="expected SHA-256"):
        zoo.load_model(tmp_path / "m")
    file.unlink()
    with pytest.raises(InputError, match="expected a weights file, found no file"):
        zoo.verify(tmp_path / "m")


def test_weights_of_another_network_are_refused_and_differing_tensors_are_named(tmp_path):
    save(tmp_path / "m")
    encoder = build_network(NetworkConfig(encoder="RN50")).encoder
    with pytest.raises(InputError, match=r"weights of another network: missing .* and \d+ more; unexpected .*body"):
        load_encoder(encoder, tmp_path / "m" / "encoder.safetensors")
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(InputError, match="expected weights as safetensors"):
        load_encoder(encoder, tmp_path / "junk")


def test_unknown_models_and_broken_descriptions_are_errors(tmp_path):
    with pytest.raises(InputError, match=r"expected one of .*ct-lowdose"):
        zoo.describe("ct-highdose")
    save(tmp_path / "m")
    path = tmp_path / "m" / "model.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "surplus": 1}))
    with pytest.raises(InputError, match="expected the fields of a model description"):
        zoo.describe(tmp_path / "m")
    path.write_text(json.dumps({**fields, "correlated_noise": "blur"}))
    with pytest.raises(InputError, match="correlated_noise: expected 'pixel-shuffle' or null, found 'blur'"):
        zoo.describe(tmp_path / "m")


def test_models_that_ship_are_intact_and_their_encoders_are_not_called_clip():
    assert zoo.DEFAULT_MODEL in zoo.available()
    for name in zoo.available():
        description = zoo.verify(name)
        assert description.name == name
        assert "clip" not in (description.encoder_name or "")
        assert (zoo.model_folder(name) / "README.md").is_file()
