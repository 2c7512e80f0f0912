"""The bundles train, resume, export models that denoise, and pass MONAI's checks, without network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ctdenoise.inference import Denoiser, denoise
from ctdenoise.models import NetworkConfig, build_network, zoo
from ctdenoise.training import best_checkpoint, latest_checkpoint
from ctdenoise.training.configuration import config_files
from tests.conftest import REPOSITORY, make_series
from tests.models.test_zoo import DESCRIPTION

PIPELINES = REPOSITORY / "pipelines"
#: Bundles with the paper's protocol.
NAMES = ["ct_lowdose", "natural_gaussian", "natural_srgb"]
BUNDLES = [*NAMES, "ct_lowdose_lite", "natural_lite"]
#: For tests that take long: one bundle by default, the others as slow tests.
ONE_IN_SHORT = [
    "ct_lowdose_lite",
    *(pytest.param(n, marks=pytest.mark.slow) for n in BUNDLES if n != "ct_lowdose_lite"),
]
SMALL = {
    "encoder": "random-resnet18",
    "crop": 16,
    "batch_size": 2,
    "iterations_per_epoch": 2,
    "validation_images": 1,
}


def arguments(**values: object) -> list[str]:
    return [text for key, value in values.items() for text in (f"--{key}", str(value))]


def call(*command: str, cwd: Path) -> str:
    """Run a Python module and return what it printed."""
    result = subprocess.run([sys.executable, "-W", "ignore", "-m", *command], cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


def bundle(name: str, command: str, *given: str) -> str:
    return call("monai.bundle", command, *given, cwd=PIPELINES / name)


def training_config(name: str, *overlays: str) -> str:
    """The configuration of a training from the sources, as a list of files for MONAI's command line."""
    return str([str(file) for file in config_files(name, ["train", *overlays])])


def patients(root: Path, *, side: int = 64) -> Path:
    for name in "ab":
        make_series(
            root / name, slices=2, size=(side, side), edit=lambda d, _, name=name: setattr(d, "PatientID", name)
        )
    return root


def photographs(root: Path, count: int = 6) -> Path:
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        Image.fromarray(rng.integers(0, 255, (40, 53, 3), dtype=np.uint8)).save(root / f"{index}.png")
    return root


@pytest.mark.slow
def test_a_killed_and_resumed_training_gives_the_same_weights_as_an_uninterrupted_one(tmp_path):
    """Also: ``ctdenoise train`` and ``python -m monai.bundle run`` give the same weights."""
    values = {**SMALL, "iterations": 24, "dataset_dir": patients(tmp_path / "data")}
    whole = call("ctdenoise", "train", "ct_lowdose", *arguments(**values, output_dir=tmp_path / "whole"), cwd=tmp_path)
    assert re.search(r"loss: [\d.]+", whole)
    assert re.search(r"psnr: [\d.]+ psnr_input: [\d.]+", whole)

    cut_off = arguments(config_file=training_config("ct_lowdose"), **values, output_dir=tmp_path / "cut")
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", *cut_off],
        cwd=PIPELINES / "ct_lowdose",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while latest_checkpoint(tmp_path / "cut") is None:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    at_kill = latest_checkpoint(tmp_path / "cut")
    assert at_kill.stem != "latest_checkpoint_24"
    bundle("ct_lowdose", "run", *cut_off)
    finished = latest_checkpoint(tmp_path / "cut").stat()
    assert "this training is finished" in bundle("ct_lowdose", "run", *cut_off)
    assert latest_checkpoint(tmp_path / "cut").stat().st_mtime_ns == finished.st_mtime_ns

    one, other = (torch.load(latest_checkpoint(tmp_path / run), weights_only=True) for run in ("whole", "cut"))
    assert one["trainer"]["iteration"] == other["trainer"]["iteration"] == 24
    assert one["lr_scheduler"]["last_epoch"] == other["lr_scheduler"]["last_epoch"] == 24
    assert one["lr_scheduler"]["_last_lr"] == pytest.approx([1e-6])
    assert all(torch.equal(one["model"][name], other["model"][name]) for name in one["model"])
    assert float(best_checkpoint(tmp_path / "cut").stem.partition("=")[2]) > 0


@pytest.mark.slow
def test_a_student_is_trained_exported_and_denoises(tmp_path):
    """The teacher is a model folder; the student is exported as one."""
    folder = tmp_path / "teacher"
    network = build_network(NetworkConfig(encoder="resnet18", residual=9), seed=0)
    torch.nn.init.normal_(network.decoder.last.weight, std=0.01)
    zoo.save_model(network, folder, **DESCRIPTION | {"network": {"encoder": "resnet18", "residual": 9}})
    values = {key: value for key, value in SMALL.items() if key != "encoder"}
    values |= {"iterations": 4, "realisations": 1, "teacher": folder, "output_dir": tmp_path / "out"}
    values |= {"dataset_dir": patients(tmp_path / "data")}
    call("ctdenoise", "train", "ct_lowdose_lite", *arguments(**values), cwd=tmp_path)
    call("ctdenoise", "export", "ct_lowdose_lite", *arguments(**values), cwd=tmp_path)
    student = tmp_path / "out" / "model"
    assert zoo.verify(student).encoder_file is None
    given = arguments(config_file="configs/inference.json", model_dir=student, input_dir=tmp_path / "data" / "a")
    bundle("ct_lowdose_lite", "run", *given, "--output_dir", str(tmp_path / "clean"))
    assert len(list((tmp_path / "clean").rglob("*.dcm"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ct_lowdose_lite", "ct_lowdose"])
def test_the_context_overlay_trains_a_network_that_sees_neighbours(tmp_path, name):
    """Of targets by a teacher, which are computed once, and of drawn slices."""
    values = {key: value for key, value in SMALL.items() if key != "encoder"}
    values |= {"iterations": 4, "realisations": 1, "drawn_images": 2, "teacher": "ct-lowdose-lite"}
    values |= {"dataset_dir": patients(tmp_path / "data"), "output_dir": tmp_path / "out"}
    overlay = ("--overlay", "context")
    call("ctdenoise", "train", name, *overlay, *arguments(**values), cwd=tmp_path)
    targets = list((tmp_path / "out" / "targets").iterdir())
    assert 1 <= len(targets) <= 2
    call("ctdenoise", "export", name, *overlay, "--output_dir", str(tmp_path / "out"), cwd=tmp_path)
    single = ("--output_dir", str(tmp_path / "out"), "--model_dir", str(tmp_path / "single"), "--single_slices", "True")
    call("ctdenoise", "export", name, *overlay, *single, cwd=tmp_path)
    assert Denoiser.from_pretrained(tmp_path / "single").context == 0
    denoiser = Denoiser.from_pretrained(tmp_path / "out" / "model")
    assert denoiser.context == 1
    (result,) = denoise(tmp_path / "data" / "a", tmp_path / "clean", model=denoiser).results
    assert len(result.manifest.slices) == 2


@pytest.mark.slow
def test_photographs_train_evaluate_export_and_denoise(tmp_path):
    values = {**SMALL, "iterations": 4, "dataset_dir": photographs(tmp_path / "data"), "output_dir": tmp_path / "out"}
    call("ctdenoise", "train", "natural_srgb", *arguments(**values), cwd=tmp_path)
    best = torch.load(best_checkpoint(tmp_path / "out"), weights_only=True)["model"]
    assert best["encoder.body.conv1.weight"].shape[1] == 3

    evaluate = training_config("natural_srgb", "evaluate")
    bundle("natural_srgb", "run", *arguments(config_file=evaluate, **values, section="validation"))
    metrics = (tmp_path / "out" / "metrics.csv").read_text()
    assert re.search(r"psnr,[\d.]+", metrics)

    call("ctdenoise", "export", "natural_srgb", "--output_dir", str(tmp_path / "out"), cwd=tmp_path)
    description = zoo.verify(tmp_path / "out" / "model")
    assert description.encoder_name == "random-resnet18"
    assert description.hu_range is None
    array = np.random.default_rng(1).integers(0, 255, (21, 35, 4), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "in.png")
    model = str(tmp_path / "out" / "model")
    call("ctdenoise", "run", "in.png", "-o", "clean", "--model", model, cwd=tmp_path)
    clean = np.asarray(Image.open(tmp_path / "clean" / "in.png"))
    assert clean.shape == array.shape
    np.testing.assert_array_equal(clean[..., 3], array[..., 3])
    given = arguments(config_file="configs/inference.json", model_dir=model, input_dir=tmp_path / "in.png")
    bundle("natural_srgb", "run", *given, "--output_dir", str(tmp_path / "by_bundle"))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "by_bundle" / "in.png")), clean)


@pytest.mark.slow
def test_the_level_equivariant_network_trains_exports_and_denoises(tmp_path):
    values = {key: value for key, value in SMALL.items() if key != "encoder"}
    values |= {"iterations": 4, "dataset_dir": photographs(tmp_path / "data"), "output_dir": tmp_path / "out"}
    call("ctdenoise", "train", "natural_lite", *arguments(**values), cwd=tmp_path)
    assert torch.load(latest_checkpoint(tmp_path / "out"), weights_only=True)["trainer"]["iteration"] == 4
    assert "finished" in call("ctdenoise", "train", "natural_lite", *arguments(**values), cwd=tmp_path)
    call("ctdenoise", "export", "natural_lite", *arguments(**values), cwd=tmp_path)
    description = zoo.verify(tmp_path / "out" / "model")
    assert (description.encoder_name, description.correlated_noise) == (None, "pixel-shuffle")
    network, _ = zoo.load_model(tmp_path / "out" / "model")
    image = torch.rand(1, 3, 32, 48)
    with torch.inference_mode():
        clean = network(image)
        assert not torch.equal(clean, image)
        torch.testing.assert_close(network(5 * image), 5 * clean, rtol=1e-5, atol=1e-5)
    given = arguments(config_file="configs/inference.json", model_dir=tmp_path / "out" / "model")
    given += arguments(input_dir=tmp_path / "data", output_dir=tmp_path / "clean")
    bundle("natural_lite", "run", *given)
    assert len(list((tmp_path / "clean").glob("*.png"))) == 6


@pytest.mark.slow
def test_an_encoder_is_trained_with_its_decoder_and_then_frozen(tmp_path):
    values = {**SMALL, "iterations": 4, "dataset_dir": photographs(tmp_path / "data")}
    train, export = ("ctdenoise", "train", "natural_gaussian"), ("ctdenoise", "export", "natural_gaussian")
    both = ("--overlay", "pretrain_encoder", "--output_dir", str(tmp_path / "both"))
    call(*train, *both, *arguments(**values), cwd=tmp_path)
    call(*export, *both, cwd=tmp_path)
    begun = tmp_path / "both" / "model"
    weights = {"encoder_weights": begun / "encoder.safetensors", "decoder_weights": begun / "decoder.safetensors"}
    frozen = ("--overlay", "in_house", "--output_dir", str(tmp_path / "frozen"))
    call(*train, *frozen, *arguments(**values, **weights), cwd=tmp_path)
    call(*export, *frozen, cwd=tmp_path)
    first, second = (zoo.load_model(folder)[0] for folder in (begun, tmp_path / "frozen" / "model"))
    assert zoo.describe(tmp_path / "frozen" / "model").training_noise is None
    image = torch.rand(1, 3, 32, 48)
    with torch.inference_mode():
        for ours, theirs in zip(first.encoder(image), second.encoder(image), strict=True):
            assert torch.equal(ours, theirs)
        assert not torch.equal(first(image), second(image))
        torch.testing.assert_close(second(5 * image), 5 * second(image), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_checkpoint_of_another_training_is_not_resumed(tmp_path):
    values = {**SMALL, "iterations": 2, "dataset_dir": photographs(tmp_path / "data"), "output_dir": tmp_path / "out"}
    call("ctdenoise", "train", "natural_gaussian", *arguments(**values), cwd=tmp_path)
    for change, message in (
        ({"iterations": 4}, "this training was finished with other values: --iterations 2, now 4"),
        ({"gamma": 0.1, "encoder": "random-resnet34"}, '--encoder "random-resnet18", now "random-resnet34"'),
    ):
        given = arguments(**{**values, **change})
        command = [sys.executable, "-m", "ctdenoise", "train", "natural_gaussian", *given]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 1
        assert message in result.stderr
        assert "or another --output_dir; --reset deletes" in result.stderr


@pytest.mark.slow
def test_a_baseline_trains_by_the_same_configuration_and_denoises_ct(tmp_path):
    values = {**SMALL, "iterations": 2, "dataset_dir": patients(tmp_path / "data"), "output_dir": tmp_path / "out"}
    values |= {"crop": 32, "network#architecture": "redcnn"}
    call("ctdenoise", "train", "ct_lowdose", *arguments(**values), cwd=tmp_path)
    given = arguments(output_dir=tmp_path / "out", model_dir=tmp_path / "model")
    call("ctdenoise", "export", "ct_lowdose", *given, cwd=tmp_path)
    given = arguments(config_file="configs/inference.json", model_dir=tmp_path / "model", input_dir=tmp_path / "data/a")
    bundle("ct_lowdose", "run", *given, "--output_dir", str(tmp_path / "clean"))
    (manifest,) = (tmp_path / "clean").rglob("manifest.json")
    content = json.loads(manifest.read_text())
    assert content["operation"]["parameters"]["model"]["sha256"] == zoo.verify(tmp_path / "model").sha256
    assert "encoder" not in content["operation"]["parameters"]["model"]
    assert len(content["slices"]) == 2


@pytest.mark.slow
def test_overlays_configure_the_trainings_of_the_shipped_model(tmp_path):
    # The images must be large enough to measure their noise.
    values = {**SMALL, "iterations": 2, "dataset_dir": patients(tmp_path / "data", side=160)}
    in_house = arguments(**values, realisations=2, output_dir="a")
    call("ctdenoise", "train", "ct_lowdose", "--overlay", "in_house", *in_house, cwd=tmp_path)
    state = torch.load(latest_checkpoint(tmp_path / "a"), weights_only=True)["model"]
    assert "grey_input.weight" not in state
    recorrupted = arguments(**values, output_dir="c")
    call("ctdenoise", "train", "ct_lowdose", "--overlay", "recorrupted", *recorrupted, cwd=tmp_path)
    assert len(list((tmp_path / "c" / "noise").glob("*.npy"))) == 4
    overlay = ("--overlay", "pretrain_encoder")
    call("ctdenoise", "train", "ct_lowdose", *overlay, *arguments(**values, output_dir="b"), cwd=tmp_path)
    before, after = (torch.load(latest_checkpoint(tmp_path / run), weights_only=True)["model"] for run in "ab")
    assert not torch.equal(before["encoder.body.conv1.weight"], after["encoder.body.conv1.weight"])
    call("ctdenoise", "export", "ct_lowdose", "--output_dir", "b", cwd=tmp_path)
    assert zoo.verify(tmp_path / "b" / "model").encoder_name == "random-resnet18-trained"


WORKER = """
import os, sys, torch
from monai.bundle import ConfigWorkflow
out, overrides = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
from ctdenoise.training.configuration import config_files
configs = [str(file) for file in config_files("natural_gaussian", ["train", "multi_gpu_train"])]
values = {key.removeprefix("--"): int(v) if v.isdigit() else v for key, v in overrides.items()}
meta = "configs/metadata.json"
workflow = ConfigWorkflow(config_file=configs, workflow_type="train", meta_file=meta, output_dir=out, **values)
workflow.initialize()
workflow.run()
batch = workflow.parser.get_parsed_content("train#loader").batch_size
draws = torch.rand(1)
state = workflow.parser.get_parsed_content("network_def").state_dict()
torch.save({"state": state, "batch": batch, "draws": draws}, f"{out}/rank{os.environ['RANK']}.pt")
workflow.finalize()
"""


@pytest.mark.slow
def test_two_processes_share_the_batch_and_end_with_the_same_weights(tmp_path):
    values = {**SMALL, "batch_size": 4, "iterations": 4, "dataset_dir": photographs(tmp_path / "data", 21)}
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "out").mkdir()
    torchrun = ("torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(tmp_path / "worker.py"))
    call(*torchrun, str(tmp_path / "out"), *arguments(**values), cwd=PIPELINES / "natural_gaussian")
    one, other = (torch.load(tmp_path / "out" / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert one["batch"] == other["batch"] == 2
    assert all(torch.equal(one["state"][name], other["state"][name]) for name in one["state"])
    assert not torch.equal(one["draws"], other["draws"])  # crops and noise differ
    saved = torch.load(latest_checkpoint(tmp_path / "out"), weights_only=True)
    assert all(torch.equal(saved["model"][name], one["state"][name]) for name in saved["model"])
    assert saved["trainer"]["iteration"] == 4


@pytest.mark.parametrize("name", ONE_IN_SHORT)
@pytest.mark.slow
def test_monai_verifies_metadata_and_network(name):
    printed = bundle(
        name, "verify_metadata", *arguments(meta_file="configs/metadata.json", filepath="../metadata_schema.json")
    )
    assert "metadata is verified with no error" in printed
    config = "configs/inference.json" if name == "ct_lowdose" else training_config(name)
    printed = bundle(
        name,
        "verify_net_in_out",
        "network_def",
        *arguments(meta_file="configs/metadata.json", config_file=config, device="cpu"),
    )
    assert "data shape of network is verified with no error" in printed


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_is_complete(name):
    configs = ("metadata", "train", "inference", "export")
    for part in ("LICENSE", "docs/README.md", "docs/data_license.txt", *(f"configs/{c}.json" for c in configs)):
        assert (PIPELINES / name / part).is_file(), part
