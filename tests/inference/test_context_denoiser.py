"""A model that sees neighbouring slices, through all ways of denoising: the same values everywhere."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import Compose, Orientationd
from numpy.typing import NDArray
from torch import Tensor, nn

from ctdenoise.inference import Denoiser, RunOptions, denoise
from ctdenoise.inference.engines import ENGINES
from ctdenoise.inference.monai_inferer import SliceInferer
from ctdenoise.inference.monai_inputs import LoadHUd
from ctdenoise.inference.monai_neighbours import NeighbouringSlicesd
from ctdenoise.inference.monai_transforms import Denoised, NetworkInputd
from ctdenoise.inference.network_runner import NetworkRunner
from ctdenoise.io.dicom import discover, read_slice
from ctdenoise.io.volumes import read_volume
from ctdenoise.models import NetworkConfig, build_network
from tests.conftest import make_series
from tests.inference.test_slice_context import SERIES, expected, stored_by_source, weighted

SIZE = (192, 176)


class Weighing(nn.Module):
    """The weighted sum of the three slices; no two weights are equal."""

    def forward(self, image: Tensor) -> Tensor:
        previous, itself, following = image.split(1, dim=1)
        return 0.25 * previous + 0.5 * itself + 0.125 * following


def weighing(**values: object) -> Denoiser:
    return Denoiser(Weighing(), channels=3, context=1, **values)


@pytest.fixture(scope="module")
def small() -> nn.Module:
    """A network of the architecture that ships, which changes images and uses the neighbours."""
    network = build_network(NetworkConfig(architecture="lite", residual=9, context=3), seed=0).eval()
    nn.init.normal_(network.last.weight, std=0.02)
    return network


def body(slices: int = 4, size: tuple[int, int] = SIZE) -> NDArray[np.float32]:
    """Noisy discs, which shift from slice to slice, in air."""
    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[: size[0], : size[1]]
    discs = [(rows - 90) ** 2 + (columns - 80 - 2 * index) ** 2 < 30**2 for index in range(slices)]
    return np.stack([np.where(disc, 40.0, -1000.0) + rng.normal(0, 20, size) for disc in discs]).astype(np.float32)


def in_hu(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the network makes of ``[3, H, W]`` HU, which it sees as (HU + 1024) / 4096."""
    return weighted(windows + 1024) - 1024


@pytest.mark.parametrize("batch_size", [1, 3])
def test_arrays_are_series_in_their_order(batch_size):
    hu = body()
    wanted = [in_hu(hu[[max(0, i - 1), i, min(3, i + 1)]]) for i in range(4)]
    np.testing.assert_allclose(weighing(batch_size=batch_size)(hu, strength=1), wanted, atol=0.01)
    np.testing.assert_allclose(weighing()(torch.from_numpy(hu), strength=1), wanted, atol=0.01)
    np.testing.assert_allclose(weighing()(hu[2], strength=1), in_hu(hu[[2, 2, 2]]), atol=0.01)


def test_the_strength_blends_with_the_slice_itself():
    hu = body()
    whole, half = weighing()(hu, strength=1), weighing()(hu, strength=0.5)
    np.testing.assert_allclose(half, (whole + hu) / 2, atol=0.01)
    np.testing.assert_array_equal(weighing()(hu, strength=0), hu)


def test_what_a_slice_has_outside_the_range_stays_and_that_of_neighbours_is_the_ends_of_the_range():
    hu = body(3, (16, 16))
    hu[0, 0, 0], hu[1, 1, 1], hu[2, 2, 2] = np.nan, 9000, -2000
    found = weighing()(hu, strength=1)
    assert np.isfinite(found[1]).all()
    assert found[1, 1, 1] == 9000
    clipped = np.array([-1024, hu[1, 0, 0], hu[2, 0, 0]], np.float32)[:, None, None]
    assert found[1, 0, 0] == pytest.approx(in_hu(clipped)[0, 0], abs=0.01)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("name", ["undisturbed", "gap", "tilt", "pixel spacing", "acquisition", "no positions"])
def test_series_have_the_neighbours_that_their_positions_say(name, batch_size, tmp_path):
    edit, stacks = SERIES[name]
    source = make_series(tmp_path / "in", slices=6, edit=edit)
    images = [read_slice(file.path) for file in discover(source).series[0].slices]
    results = expected([image.hu + 1024 for image in images], stacks, 1)
    options = RunOptions(strength=1)
    (result,) = denoise(source, tmp_path / "out", model=weighing(batch_size=batch_size), options=options).results
    found = stored_by_source(result.folder)
    for image, hu in zip(images, results, strict=True):
        wanted = image.to_stored(hu - 1024).values
        # Stored values are whole numbers, and what is rounded may differ by the rounding of float32.
        assert np.abs(found[image.dataset.SOPInstanceUID].astype(int) - wanted).max() <= 1
    derived = read_slice(next(result.folder.glob("*.dcm"))).dataset
    assert "each with its neighbours" in derived.DerivationDescription


def test_single_slices_are_denoised_as_the_network_does_without_neighbours(tmp_path):
    source = make_series(tmp_path / "in", slices=1)
    (file,) = discover(source).series[0].slices
    hu = read_slice(file.path).hu
    (result,) = denoise(source, tmp_path / "out", model=weighing(), options=RunOptions(strength=1)).results
    found = read_slice(result.folder / "0001.dcm").hu
    np.testing.assert_allclose(found, in_hu(np.stack([hu] * 3)), atol=0.6)


def test_volumes_are_as_arrays(tmp_path):
    hu = body()
    nibabel.Nifti1Image(hu.T[::-1, ::-1], np.diag([-0.8, -0.8, 1.0, 1])).to_filename(tmp_path / "ct.nii.gz")
    source = read_volume(tmp_path / "ct.nii.gz").hu
    denoise(tmp_path / "ct.nii.gz", tmp_path / "out", model=weighing(), options=RunOptions(strength=1))
    found = read_volume(tmp_path / "out" / "ct.nii.gz").hu
    np.testing.assert_allclose(found, weighing()(source, strength=1), atol=0.01)


def test_leaving_out_air_changes_nothing_in_the_body(small):
    hu = body(size=(320, 320))
    values = {"channels": 3, "context": 1}
    whole = Denoiser(small, **values, full_field=True)(hu, strength=1)
    cropped = Denoiser(small, **values, full_field=False)(hu, strength=1)
    inside = hu > -500
    assert np.abs(whole - hu)[inside].max() > 5
    assert np.abs(whole - cropped)[inside].max() < 0.5


@pytest.mark.slow
def test_tiles_give_the_whole(small, monkeypatch):
    hu = body(3, (640, 800))
    whole = Denoiser(small, channels=3, context=1)(hu, strength=1)
    denoiser = Denoiser(small, channels=3, context=1)
    monkeypatch.setattr(denoiser.runner, "_pixels_at_once", 576**2)
    np.testing.assert_allclose(denoiser(hu, strength=1), whole, atol=0.05)


@pytest.mark.parametrize("engine", [name for name in ("eager", "openvino") if name in ENGINES])
def test_engines_agree(engine, small):
    hu = body()
    denoiser = Denoiser(small, channels=3, context=1, engine=engine)
    assert isinstance(denoiser.runner, NetworkRunner)
    eager = Denoiser(small, channels=3, context=1, engine="eager")(hu, strength=1)
    np.testing.assert_allclose(denoiser(hu, strength=1), eager, atol=0.05)


def loaded(source: Path, axcodes: str) -> dict[str, object]:
    return Compose([LoadHUd("image"), Orientationd("image", axcodes=axcodes)])({"image": str(source)})


@pytest.mark.parametrize("axcodes", ["PLS", "PLI", "ARS"])
@pytest.mark.parametrize("name", ["undisturbed", "gap", "tilt", "acquisition"])
def test_monai_programs_get_the_neighbours_that_the_runner_gets(name, axcodes, tmp_path):
    """Whichever way the axes of the volume run."""
    edit, stacks = SERIES[name]
    source = make_series(tmp_path / "in", slices=6, edit=edit)
    hu = [read_slice(file.path).hu for file in discover(source).series[0].slices]
    wanted = np.stack(expected([image + 1024 for image in hu], stacks, 1)) - 1024
    item = loaded(source, axcodes)

    network_input = Compose([NeighbouringSlicesd("image", slices=3), NetworkInputd("image")])(item)["image"]
    assert network_input.shape == (3, *item["image"].shape[1:])
    output = SliceInferer(batch_size=2)(network_input[None], Weighing())[0] * 4096 - 1024
    by_transform = Denoised("image", weighing(), strength=1)(item)["image"]
    # Back to rows, columns, and slices along the normal.
    for values in (output, by_transform.as_subclass(Tensor)):
        found = values[0].numpy()
        found = found if axcodes[0] == "P" else found[::-1]
        found = found if axcodes[1] == "L" else found[:, ::-1]
        found = found if axcodes[2] == "S" else found[..., ::-1]
        np.testing.assert_allclose(np.moveaxis(found, -1, 0), wanted, atol=0.01)


def test_a_slice_without_others_is_its_own_neighbour_for_monai_programs():
    image = NeighbouringSlicesd("image", slices=3)({"image": torch.rand(1, 5, 4)})["image"]
    assert image.shape == (3, 5, 4)
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[2], image[1])
