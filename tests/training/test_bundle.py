"""The CT bundle trains, resumes, exports a model that denoises, and passes MONAI's own checks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

from ctdenoise.models import zoo
from ctdenoise.training import latest_checkpoint
from tests.conftest import REPOSITORY, make_series

BUNDLE = REPOSITORY / "pipelines" / "ct_lowdose"


def bundle(command: str, config: str, *arguments: str) -> str:
    """Run ``python -m monai.bundle`` in the bundle's folder and return what it printed."""
    call = [sys.executable, "-W", "ignore", "-m", "monai.bundle", command, "--config_file", config, *arguments]
    result = subprocess.run(call, cwd=BUNDLE, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


def train(data: Path, output: Path, iterations: int) -> str:
    return bundle(
        "run",
        "configs/train.json",
        *("--dataset_dir", str(data)),
        *("--output_dir", str(output)),
        *("--train_patients", "['a']"),
        *("--validation_patients", "['b']"),
        *("--network#encoder", "resnet18"),
        *("--crop", "16"),
        *("--batch_size", "2"),
        *("--iterations", str(iterations)),
        *("--iterations_per_epoch", "2"),
    )


def test_training_stops_resumes_where_it_was_and_exports_a_model_that_runs(tmp_path):
    make_series(tmp_path / "data" / "a", slices=2, size=(64, 64))
    make_series(tmp_path / "data" / "b", slices=1, size=(64, 64))
    output = tmp_path / "output"
    train(tmp_path / "data", output, iterations=4)
    first = torch.load(output / "latest_checkpoint_epoch=2.pt", weights_only=True)
    assert first["trainer"]["iteration"] == 4
    printed = train(tmp_path / "data", output, iterations=8)
    assert "resuming from iteration 4, epoch 2 until 4 epochs" in printed
    second = torch.load(latest_checkpoint(output), weights_only=True)
    assert second["trainer"]["iteration"] == 8
    assert second["lr_scheduler"]["last_epoch"] == 8
    frozen = [key for key in first["model"] if key.startswith("encoder.")]
    assert frozen
    assert all(torch.equal(first["model"][key], second["model"][key]) for key in frozen)
    assert not torch.equal(first["model"]["decoder.last.weight"], second["model"]["decoder.last.weight"])

    model = tmp_path / "model"
    bundle(
        "run",
        "['configs/train.json','configs/export.json']",
        *("--network#encoder", "resnet18"),
        *("--output_dir", str(output)),
        *("--model_dir", str(model)),
        *("--encoder_file", "encoder.safetensors"),
    )
    description = zoo.verify(model)
    assert description.network["encoder"] == "resnet18"
    make_series(tmp_path / "in", slices=2)
    bundle(
        "run",
        "configs/inference.json",
        *("--model_dir", str(model)),
        *("--input_dir", str(tmp_path / "in")),
        *("--output_dir", str(tmp_path / "out")),
    )
    (manifest,) = (tmp_path / "out").rglob("manifest.json")
    content = json.loads(manifest.read_text())
    assert content["model"]["sha256"] == description.sha256
    assert len(content["slices"]) == 2


def test_validation_patients_never_train():
    config = json.loads((BUNDLE / "configs" / "train.json").read_text())
    assert not set(config["train_patients"]) & set(config["validation_patients"])
