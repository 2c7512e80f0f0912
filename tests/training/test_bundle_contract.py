"""Bundles offer what MONAI's programs expect, so that one which knows only MONAI's properties can denoise with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import create_workflow, verify_net_in_out
from PIL import Image

from ctdenoise.inference import Denoiser
from ctdenoise.io.dicom import discover, read_slice
from ctdenoise.models import NetworkConfig, zoo
from tests.conftest import make_series
from tests.training.test_bundle import BUNDLES, PIPELINES, SMALL, patients, photographs


def config(name: str, file: str = "inference") -> str:
    return str(PIPELINES / name / "configs" / f"{file}.json")


def workflow(name: str, kind: str = "inference", **values: Any) -> Any:
    """As any program creates it; `values` are what such a program gives on the command line."""
    return create_workflow(config_file=config(name, kind), workflow_type=kind, logging_file=False, **values)


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
    verify_net_in_out("network_def", meta_file=metadata, config_file=config(name, kind), device="cpu", n=2)


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
