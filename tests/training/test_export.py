from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ctdenoise.errors import InputError
from ctdenoise.models import build_encoder, zoo
from ctdenoise.training import export_model, initialise_network

NETWORK = {"grey_input": "conv", "residual": 9}
DESCRIPTION = {
    "name": "test",
    "version": "1",
    "summary": "a test",
    "licence": "CC0-1.0",
}


@pytest.fixture
def weights(tmp_path) -> Path:
    torch.save(build_encoder("RN50").state_dict(), tmp_path / "RN50.pt")
    return tmp_path / "RN50.pt"


def export(folder: Path, weights: Path, **options: Any) -> zoo.ModelDescription:
    model = initialise_network(NETWORK, encoder="clip-rn50", encoder_weights=weights)
    trained = {"network": NETWORK, "encoder": "clip-rn50", "trainable_encoder": False, "encoder_weights": str(weights)}
    trained |= {"hu_range": [-1024, 3072], "training_data": "none", **options}
    torch.save({"model": model.state_dict(), "record": {"model": trained}}, folder / "latest.pt")
    return export_model(folder / "latest.pt", folder / "model", description=dict(DESCRIPTION), otherwise={})


def test_an_encoder_from_another_file_than_openais_is_exported_as_unverified(tmp_path, weights):
    assert export(tmp_path, weights).encoder_name == "clip-rn50-unverified"
    assert zoo.load_model(tmp_path / "model")[1].encoder_name == "clip-rn50-unverified"


def test_a_trained_encoder_is_exported_as_trained(tmp_path, weights):
    assert export(tmp_path, weights, trainable_encoder=True).encoder_name == "clip-rn50-trained"


def test_an_absent_checkpoint_is_an_error(tmp_path):
    with pytest.raises(InputError, match="expected a checkpoint of a training in --output_dir, found none"):
        export_model(None, tmp_path, description={}, otherwise={})
