"""A checkpoint says what it was trained with: exports need no options, and another training does not resume from it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from ctdenoise.errors import InputError
from ctdenoise.models import zoo
from ctdenoise.training import best_checkpoint, latest_checkpoint
from ctdenoise.training.record import fingerprint
from ctdenoise.training.run import run_pipeline
from tests.training.test_bundle import photographs

#: A training of two steps that takes a second.
TINY = {"crop": 16, "batch_size": 1, "iterations": 2, "validation_images": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder of a finished training, with its images in ``data``."""
    root = tmp_path_factory.mktemp("training")
    photographs(root / "data", 3)
    train(root)
    return root


@pytest.fixture
def training(trained, tmp_path) -> Path:
    return shutil.copytree(trained, tmp_path / "training")


def train(root: Path, **values: Any) -> None:
    given = {"network#level_equivariant": False, "dataset_dir": str(root / "data"), "output_dir": str(root / "out")}
    run_pipeline("natural_lite", ["train"], {**TINY, **given, **values})


def export(root: Path, **values: Any) -> zoo.ModelDescription:
    run_pipeline("natural_lite", ["train", "export"], {"output_dir": str(root / "out"), **values})
    return zoo.verify(root / "out" / "model")


def test_all_checkpoints_hold_configuration_and_data_but_no_paths(trained):
    for path in (latest_checkpoint(trained / "out"), best_checkpoint(trained / "out")):
        record = torch.load(path, weights_only=True)["record"]
        assert record["configuration"]["crop"] == 16
        assert record["configuration"]["noise"][0]["std"] == "@noise_std"
        assert record["model"]["network"] == {"architecture": "lite", "out_channels": 3, "level_equivariant": False}
        assert (record["data"]["training"], record["data"]["validation"]) == (2, 1)
        assert str(trained) not in str(record)


def test_an_export_needs_no_options_of_the_training(training):
    description = export(training)
    assert description.network["level_equivariant"] is False
    assert description.training_data == "own-photos"
    network, _ = zoo.load_model(training / "out" / "model")
    best = torch.load(best_checkpoint(training / "out"), weights_only=True)["model"]
    assert all(torch.allclose(value, best[name], atol=1e-3) for name, value in network.state_dict().items())


def test_an_evaluation_needs_no_options_of_the_network(training):
    values = {"dataset_dir": str(training / "data"), "output_dir": str(training / "out"), "section": "validation"}
    run_pipeline("natural_lite", ["train", "evaluate"], values)
    assert "psnr" in (training / "out" / "metrics.csv").read_text()
    with pytest.raises(InputError, match=r"section testing .* sections with images: training \(2\), validation \(1\)"):
        run_pipeline("natural_lite", ["train", "evaluate"], {**values, "section": "testing"})


def test_an_export_refuses_options_that_contradict_the_training(training):
    export(training, crop=16, dataset_dir="elsewhere")
    with pytest.raises(InputError, match=r"trained with other values: --noise_std .*255.*, now 0\.1"):
        export(training, noise_std=0.1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"noise_std": 0.1}, r'--noise_std "\$15 / 255", now 0\.1'),
        ({"learning_rate": 0.01}, r"--learning_rate 0\.0015, now 0\.01"),
        ({"iterations": 4}, r"--iterations 2, now 4"),
        ({"network#level_equivariant": True}, r"--network#level_equivariant false, now true"),
    ],
)
def test_another_training_does_not_resume_and_the_difference_is_shown(training, changed, message):
    before = latest_checkpoint(training / "out").read_bytes()
    with pytest.raises(InputError, match=f"this training was finished with other values: .*{message}.*--reset"):
        train(training, **changed)
    assert latest_checkpoint(training / "out").read_bytes() == before


def test_other_images_of_the_same_names_do_not_resume(training):
    (training / "data" / "1.png").write_bytes((training / "data" / "2.png").read_bytes())
    with pytest.raises(InputError, match=r"data 2 \+ 1 images of fingerprint \w+, now 2 \+ 1 images of fingerprint"):
        train(training)


def test_moved_data_and_results_resume(training, capsys):
    moved = training.rename(training.parent / "moved")
    train(moved, workers=1)
    assert "this training is finished" in capsys.readouterr().out


def test_a_checkpoint_without_record_is_not_resumed_but_exported_with_the_options(training):
    for path in (latest_checkpoint(training / "out"), best_checkpoint(training / "out")):
        content = torch.load(path, weights_only=True)
        del content["record"]
        torch.save(content, path)
    with pytest.raises(InputError, match="expected a checkpoint with its configuration, found one of an earlier"):
        train(training)
    with pytest.raises(InputError, match="expected a checkpoint of the network that the options describe"):
        export(training)
    assert export(training, **{"network#level_equivariant": False}).network["level_equivariant"] is False


def test_reset_starts_anew_and_deletes_what_a_killed_process_left(training):
    left = training / "out" / "best_checkpoint_key_metric=1.0000.pt"
    left.write_bytes(b"left")
    train(training, noise_std=0.1, reset=True)
    assert (
        torch.load(latest_checkpoint(training / "out"), weights_only=True)["record"]["configuration"]["noise_std"]
        == 0.1
    )
    assert not left.exists()
    assert len(list((training / "out").glob("best_*.pt"))) == 1


def test_a_resumed_training_deletes_checkpoints_that_a_killed_process_left(tmp_path):
    photographs(tmp_path / "data", 3)
    values = {"iterations": 4, "iterations_per_epoch": 2}
    train(tmp_path, **values)
    kept = sorted(path.name for path in (tmp_path / "out").glob("*.pt"))
    whole = torch.load(latest_checkpoint(tmp_path / "out"), weights_only=True)
    latest_checkpoint(tmp_path / "out").unlink()
    (tmp_path / "out" / "best_checkpoint_key_metric=1.0000.pt").write_bytes(b"left")
    train(tmp_path, **values)
    again = torch.load(latest_checkpoint(tmp_path / "out"), weights_only=True)
    assert all(torch.equal(again["model"][name], value) for name, value in whole["model"].items())
    assert sorted(path.name for path in (tmp_path / "out").glob("*.pt")) == kept


def test_without_validation_the_latest_checkpoint_is_exported(tmp_path):
    photographs(tmp_path / "data", 3)
    train(tmp_path, val_interval=0)
    assert best_checkpoint(tmp_path / "out") is None
    assert export(tmp_path).training_data == "own-photos"


def test_the_fingerprint_depends_on_names_sizes_contents_and_sections_but_not_on_the_folder(tmp_path):
    def data(folder: str, names: list[str], content: bytes = b"x") -> dict[str, Any]:
        (tmp_path / folder).mkdir(exist_ok=True)
        for name in names:
            (tmp_path / folder / name).write_bytes(content)
        items = [{"image": [str(tmp_path / folder / name)]} for name in names]
        return {"training": items[:-1], "validation": items[-1:], "testing": []}

    first = fingerprint(data("a", ["1", "2", "3"]))
    assert fingerprint(data("b", ["1", "2", "3"])) == first
    for other in (data("c", ["1", "2", "4"]), data("d", ["1", "2", "3"], b"y"), data("e", ["1", "2", "3"], b"xx")):
        assert fingerprint(other)["sha256"] != first["sha256"]
