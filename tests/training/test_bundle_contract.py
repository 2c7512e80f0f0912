"""Bundles offer what MONAI's programs expect, so that one which knows only MONAI's properties can denoise with them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import openvino
import pytest
import torch
from monai.apps.utils import HashCheckError
from monai.bundle import (
    create_workflow,
    download_large_files,
    load,
    trt_export,
    verify_metadata,
    verify_net_in_out,
)
from PIL import Image

from ctdenoise.errors import InputError
from ctdenoise.inference import Denoiser
from ctdenoise.io.dicom import discover, read_slice
from ctdenoise.models import NetworkConfig, build_network, zoo
from ctdenoise.training.bundle import write_bundle
from ctdenoise.training.configuration import config_files
from ctdenoise.training.run import parse_overrides
from tests.conftest import make_series
from tests.models.test_zoo import DESCRIPTION
from tests.training.test_bundle import BUNDLES, ONE_IN_SHORT, PIPELINES, SMALL, call, patients, photographs


def config(name: str, file: str = "inference") -> str:
    return str(PIPELINES / name / "configs" / f"{file}.json")


def configs(name: str, kind: str) -> list[str]:
    return [str(file) for file in config_files(name, [kind])]


def workflow(name: str, kind: str = "inference", **values: Any) -> Any:
    """As any program creates it; `values` are what such a program gives on the command line."""
    options = {"workflow_type": kind, "logging_file": False, "meta_file": config(name, "metadata")}
    return create_workflow(config_file=configs(name, kind), **options, **values)


def evaluated(name: str, dataset_dir: Path, **values: Any) -> list[dict[str, Any]]:
    """What a program that knows only MONAI's properties gets for each item."""
    flow = workflow(name, **values)
    flow.dataset_dir = str(dataset_dir)
    flow.initialize()
    assert flow.check_properties() == []
    results = []
    with torch.no_grad():
        for item in flow.dataset:
            item["pred"] = flow.inferer(item["image"][None].to(flow.device), flow.network_def.to(flow.device))[0]
            results.append(flow.postprocessing(item))
    flow.evaluator.run()
    last = flow.evaluator.state.output[-1]["pred"]
    torch.testing.assert_close(last, results[-1]["pred"], rtol=0, atol=0)
    return results


@pytest.mark.parametrize("name", BUNDLES)
def test_inference_offers_all_required_properties_also_without_data(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flow = workflow(name)
    assert flow.check_properties() == []
    assert callable(flow.preprocessing)
    assert callable(flow.postprocessing)


@pytest.mark.parametrize("name", BUNDLES)
def test_training_offers_all_required_properties(name, tmp_path):
    images = patients(tmp_path / "data") if name.startswith("ct") else photographs(tmp_path / "data", 3)
    values = {**SMALL, "iterations": 2, "dataset_dir": str(images), "output_dir": str(tmp_path)}
    if "lite" in name:
        del values["encoder"]
    if name == "ct_lowdose_lite":
        values["realisations"] = 1
    flow = workflow(name, "train", **values)
    assert flow.check_properties() == []
    item = flow.train_dataset[0]
    assert item[0]["image"].shape[1:] == (16, 16) if isinstance(item, list) else item["image"].shape[1:] == (16, 16)
    assert callable(flow.train_preprocessing)


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize("kind", ["train", "inference"])
def test_networks_are_those_of_the_metadata(name, kind):
    metadata = str(PIPELINES / name / "configs" / "metadata.json")
    verify_net_in_out("network_def", meta_file=metadata, config_file=configs(name, kind), device="cpu", n=2)


@pytest.mark.parametrize("name", BUNDLES)
def test_the_network_of_a_bundle_is_that_of_its_model(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = json.loads(Path(config(name)).read_text())
    if values["model_dir"] not in zoo.available():
        pytest.skip(f"{values['model_dir']} does not ship")
    assert NetworkConfig(**values["network"]) == NetworkConfig(**zoo.describe(values["model_dir"]).network)
    shipped, _ = zoo.load_model(values["model_dir"])
    built = workflow(name).network_def.state_dict()
    assert all(torch.equal(built[key], value) for key, value in shipped.state_dict().items())
    # Without the model's files the layout is the same, for MONAI to load weights into, and nothing passes for trained.
    empty = workflow(name, model_dir=str(tmp_path / "absent")).network_def
    assert empty.state_dict().keys() == shipped.state_dict().keys()
    assert empty(torch.rand(1, NetworkConfig(**values["network"]).out_channels, 32, 32)).isnan().all()


def test_a_program_that_knows_only_the_properties_denoises_dicom(tmp_path):
    make_series(tmp_path / "in", slices=3)
    (result,) = evaluated("ct_lowdose", tmp_path / "in", output_dir=str(tmp_path / "out"), strength=0.8)
    slices = discover(tmp_path / "in").series[0].slices
    hu = np.stack([read_slice(file.path).hu for file in slices])
    expected = Denoiser.from_pretrained("ct-lowdose", full_field=True, engine="eager")(hu, strength=0.8)
    assert np.abs(expected - hu).max() > 20
    np.testing.assert_allclose(result["pred"][0].numpy().T, expected, atol=0.05)
    (written,) = (tmp_path / "out").glob("*.nii.gz")
    assert "SECRET" not in written.name
    np.testing.assert_allclose(np.asarray(nib.load(written).dataobj), result["pred"][0].numpy(), atol=1e-3)


@pytest.mark.parametrize("flips", [(1, 1), (-1, -1)])
def test_a_program_that_knows_only_the_properties_denoises_nifti(flips, tmp_path):
    """In the axes of the file, whatever they are; with the strength that the volume asks for."""
    make_series(tmp_path / "dicom", slices=3, size=(160, 144))
    slices = discover(tmp_path / "dicom").series[0].slices
    hu = np.stack([read_slice(file.path).hu for file in slices])
    across, down = flips
    stored = hu.T[::-across, ::-down]  # from LPS
    affine = np.diag([0.8 * across, 0.8 * down, 2.5, 1])
    nib.save(nib.Nifti1Image(stored, affine), tmp_path / "ct.nii.gz")
    (result,) = evaluated("ct_lowdose_lite", tmp_path / "ct.nii.gz", output_dir=str(tmp_path / "out"))
    model = Denoiser.from_pretrained("ct-lowdose-lite", full_field=True, engine="eager")
    expected = model(hu, pixel_spacing_mm=0.8, slice_thickness_mm=2.5).T[::-across, ::-down]
    assert np.abs(expected - stored).max() > 5
    np.testing.assert_allclose(result["pred"][0].numpy(), expected, atol=0.05)
    written = nib.load(tmp_path / "out" / "ct_denoised.nii.gz")
    np.testing.assert_allclose(written.affine, affine)
    np.testing.assert_allclose(np.asarray(written.dataobj), expected, atol=0.05)


def test_a_program_that_knows_only_the_properties_denoises_photographs(tmp_path):
    photographs(tmp_path / "in", 2)
    results = evaluated("natural_gaussian", tmp_path / "in")
    image = np.asarray(Image.open(tmp_path / "in" / "1.png"), np.float32) / 255
    expected = Denoiser.from_pretrained("natural-gaussian").denoise_image(image)
    np.testing.assert_allclose(results[1]["pred"].numpy().transpose(1, 2, 0), expected, atol=1e-4)


def test_real_series_come_out_as_the_denoiser_gives_them(tmp_path, data):
    """Padding keeps its HU."""
    (result,) = evaluated("ct_lowdose_lite", data / "ct" / "lidc-0002", output_dir=str(tmp_path), strength=1.0)
    image = read_slice(discover(data / "ct" / "lidc-0002").series[0].slices[0].path)
    expected = Denoiser.from_pretrained("ct-lowdose-lite", full_field=True, engine="eager")(image.hu, strength=1.0)
    found = result["pred"][0, ..., 0].numpy().T
    assert image.padding.any()
    np.testing.assert_allclose(found[~image.padding], expected[~image.padding], atol=0.05)
    np.testing.assert_array_equal(found[image.padding], image.stored[image.padding] * image.slope + image.intercept)


SMALL_LAYOUTS: dict[str, dict[str, Any]] = {
    "ct_lowdose": {"encoder": "resnet18", "residual": 9},
    "ct_lowdose_lite": {"architecture": "lite", "residual": 9},
    "natural_gaussian": {"encoder": "resnet18", "out_channels": 3, "level_equivariant": True},
    "natural_lite": {"architecture": "lite", "out_channels": 3, "level_equivariant": True},
    "natural_srgb": {"encoder": "resnet18", "out_channels": 3, "residual": 9},
}


def small_model(name: str, folder: Path) -> torch.nn.Module:
    """Write a model folder of the bundle's kind with a small network that changes images."""
    layout = SMALL_LAYOUTS[name]
    network = build_network(NetworkConfig(**layout), seed=0).eval()
    for key, values in network.named_parameters():
        if key.endswith("last.weight"):
            torch.nn.init.normal_(values, std=0.01)
    encoder = f"random-{layout['encoder']}" if "encoder" in layout else None
    hu_range = (-1024, 3072) if name.startswith("ct") else None
    fields = {**DESCRIPTION, "network": layout, "encoder_name": encoder, "hu_range": hu_range}
    zoo.save_model(network, folder, **fields, dtype="float32")
    return network


#: A bundle with an encoder and one without by default, the others as slow tests.
TWO_IN_SHORT = [
    "ct_lowdose_lite",
    "natural_gaussian",
    *(pytest.param(n, marks=pytest.mark.slow) for n in BUNDLES if n not in ("ct_lowdose_lite", "natural_gaussian")),
]


@pytest.fixture(params=TWO_IN_SHORT)
def written(request, tmp_path) -> tuple[str, Path, torch.nn.Module]:
    """A bundle written to the folder of its name, with a small model."""
    name = request.param
    network = small_model(name, tmp_path / "model")
    write_bundle(name, tmp_path / "zoo" / name, model=tmp_path / "model")
    return name, tmp_path / "zoo" / name, network


def agree(network: Any, other: Any, channels: int) -> None:
    for rows, columns in ((16, 16), (48, 80), (64, 32)):
        image = torch.rand(2, channels, rows, columns)
        with torch.inference_mode():
            torch.testing.assert_close(other(image), network(image), rtol=0, atol=1e-4)


def channels_of(name: str) -> int:
    return 1 if name.startswith("ct") else 3


def test_monai_loads_the_network_that_is_in_the_bundle(written, tmp_path, monkeypatch, caplog):
    """By either configuration and from any working directory; all variables, none left as initialised."""
    name, folder, network = written
    monkeypatch.chdir(tmp_path)
    for kind in ("train", "inference"):
        loaded = load(name, bundle_dir=folder.parent, workflow_type=kind, device="cpu")
        state = loaded.state_dict()
        assert state.keys() == network.state_dict().keys()
        assert all(torch.equal(state[key], value) for key, value in network.state_dict().items()), kind
        agree(network, loaded.eval(), channels_of(name))
    script, metadata, _ = load(name, bundle_dir=folder.parent, load_ts_module=True, device="cpu")
    agree(network, script, channels_of(name))
    assert metadata["version"]


def test_a_written_bundle_passes_the_checks_of_the_model_zoo(written):
    _, folder, _ = written
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]
    assert metadata["model"]["sha256"] == zoo.verify(folder / "models").sha256
    verify_metadata(meta_file=str(folder / "configs/metadata.json"), filepath=str(folder / "metadata_schema.json"))
    for kind in ("train", "inference"):
        verify_net_in_out(
            "network_def",
            meta_file=str(folder / "configs/metadata.json"),
            config_file=str(folder / f"configs/{kind}.json"),
            bundle_root=str(folder),
            device="cpu",
        )
    overlays = ("configs/evaluate.json", "configs/multi_gpu_train.json", "configs/export.json")
    for part in ("LICENSE", "docs/README.md", "docs/data_license.txt", "large_files.yml", *overlays):
        assert (folder / part).is_file()
    download_large_files(str(folder))  # all are there, with the SHA-256 that is listed
    (folder / "models" / "decoder.safetensors").write_bytes(b"damaged")
    with pytest.raises(HashCheckError):
        download_large_files(str(folder))


@pytest.mark.parametrize("written", ONE_IN_SHORT, indirect=True)
@pytest.mark.slow
def test_documented_exports_agree_with_the_network_at_any_size(written):
    name, folder, network = written
    readme = (folder / "docs/README.md").read_text().replace("\\\n", "")
    for line in re.findall(r"^python -m monai\.bundle (?!trt)\w+_export .*$", readme, re.MULTILINE):
        call("monai.bundle", *shlex.split(line)[3:], cwd=folder)
    agree(network, torch.jit.load(folder / "models/model.ts"), channels_of(name))
    precision = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(folder / "models/model.onnx", "CPU", precision)
    agree(network, lambda image: torch.from_numpy(compiled(image.numpy())[0]), channels_of(name))


def test_the_documented_tensorrt_export_is_complete_up_to_the_conversion(tmp_path, monkeypatch):
    """A dry run, as the conversion needs a GPU: MONAI's converter is replaced by one that traces."""
    network = small_model("ct_lowdose_lite", tmp_path / "model")
    write_bundle("ct_lowdose_lite", tmp_path / "bundle", model=tmp_path / "model")
    readme = (tmp_path / "bundle" / "docs" / "README.md").read_text().replace("\\\n", "")
    (line,) = re.findall(r"^python -m monai\.bundle trt_export .*$", readme, re.MULTILINE)
    given: dict[str, Any] = {}

    def trace(model: torch.nn.Module, **options: Any) -> Any:
        given.update(options)
        return torch.jit.trace(model, torch.zeros(options["input_shape"]))

    monkeypatch.setattr("monai.bundle.scripts.convert_to_trt", trace)
    monkeypatch.chdir(tmp_path / "bundle")
    trt_export(**parse_overrides(shlex.split(line)[4:]))
    assert (given["precision"], given["dynamic_batchsize"]) == ("fp32", [1, 4, 16])
    image = torch.rand(1, 1, 512, 512)
    with torch.inference_mode():
        torch.testing.assert_close(torch.jit.load("models/model_trt.ts")(image), network(image), rtol=0, atol=1e-4)


#: Loads the network of a bundle where ctdenoise is not installed.
MONAI_ALONE = """
import sys
sys.modules["ctdenoise"] = None
import torch
from monai.bundle import load
network, _, _ = load("elsewhere", bundle_dir=".", load_ts_module=True, device="cpu")
print(network(torch.rand(1, 1, 48, 32)).shape)
"""


@pytest.mark.slow
def test_a_copied_bundle_denoises_from_its_own_folder(tmp_path):
    """By command line, as its README says, with the weights that are in it; MONAI alone loads the network."""
    small_model("ct_lowdose", tmp_path / "model")
    call("ctdenoise", "bundle", "ct_lowdose", "-o", "first", "--model", "model", cwd=tmp_path)
    moved = shutil.move(tmp_path / "first", tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "model")
    make_series(tmp_path / "in", slices=2)
    given = ("--config_file", "configs/inference.json", "--input_dir", str(tmp_path / "in"), "--output_dir", "out")
    call("monai.bundle", "run", *given, "--strength", "1.0", cwd=moved)
    assert len(list((moved / "out").rglob("*.dcm"))) == 2
    (manifest,) = (moved / "out").rglob("manifest.json")
    assert zoo.verify(moved / "models").sha256[:12] in manifest.read_text()
    alone = subprocess.run(
        [sys.executable, "-c", MONAI_ALONE], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "torch.Size([1, 1, 48, 32])" in alone.stdout


def test_a_bundle_is_not_written_over_another_or_with_a_model_of_another_kind(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="expected a new or empty folder"):
        write_bundle("ct_lowdose", tmp_path / "there")
    with pytest.raises(InputError, match=r"found ct-lowdose; did you mean ct_lowdose\?"):
        write_bundle("ct-lowdose", tmp_path / "other")
    with pytest.raises(InputError, match="expected a model for CT, found one for photographs"):
        write_bundle("ct_lowdose", tmp_path / "new", model="natural-gaussian")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_truncated_file_fails_the_run_and_the_rest_is_done(tmp_path):
    make_series(tmp_path / "in", slices=4)
    victim = sorted((tmp_path / "in").iterdir())[1]
    victim.write_bytes(victim.read_bytes()[:-1500])
    given = ("--config_file", "configs/inference.json", "--input_dir", str(tmp_path / "in"))
    command = [sys.executable, "-m", "monai.bundle", "run", *given, "--output_dir", str(tmp_path / "out")]
    result = subprocess.run(command, cwd=PIPELINES / "ct_lowdose_lite", capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert victim.name in result.stderr
    assert "1 could not be processed, the rest is done" in result.stderr
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 3
    # The evaluator takes whole volumes: it refuses one that is not whole.
    flow = workflow("ct_lowdose_lite", input_dir=str(tmp_path / "in"), output_dir=str(tmp_path / "volume"))
    with pytest.raises(RuntimeError) as error:
        flow.evaluator.run()
    assert victim.name in str(error.getrepr(chain=True))


def test_misspelled_options_are_refused_where_monai_lets_a_bundle_check(tmp_path):
    checked = {"config_file": config("ct_lowdose_lite"), "workflow_type": "inference"}
    checked |= {"workflow_name": "ctdenoise.training.workflow.CheckedWorkflow"}
    with pytest.raises(InputError, match="--strenght: expected a key of the configuration"):
        create_workflow(**checked, strenght=0.5)
    assert create_workflow(**checked, **{"network#residual": 9}, strength=0.5).check_properties() == []
