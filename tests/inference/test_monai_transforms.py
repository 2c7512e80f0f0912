"""Denoising as MONAI transforms, and what a bundle's inference is composed of."""

from __future__ import annotations

import pickle

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer
from monai.transforms import Compose, EnsureChannelFirstd, Flipd, LoadImaged, Orientationd

from ctdenoise.errors import InputError
from ctdenoise.inference import Denoiser
from ctdenoise.inference.monai_inferer import SliceInferer
from ctdenoise.inference.monai_inputs import LoadHUd, find_ct, load_hu
from ctdenoise.inference.monai_transforms import Denoise, Denoised, NetworkInputd, NetworkOutputd
from ctdenoise.io.dicom import discover, read_slice
from tests.conftest import make_series


def volume(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 30, shape).astype(np.float32)


@pytest.fixture
def smoothing() -> Denoiser:
    """A denoiser that averages along columns only, so that exchanged axes are seen."""
    layer = torch.nn.Conv2d(1, 1, (3, 1), padding=(1, 0), padding_mode="reflect", bias=False)
    torch.nn.init.constant_(layer.weight, 1 / 3)
    return Denoiser(layer, channels=1, device="cpu")


def test_slices_are_denoised_as_the_denoiser_does(smoothing):
    hu = volume(1, 20, 33, 4)
    expected = smoothing(hu[0].transpose(2, 0, 1), strength=0.5).transpose(1, 2, 0)
    denoise = Denoise(smoothing, strength=0.5)
    np.testing.assert_array_equal(denoise(hu)[0], expected)
    np.testing.assert_array_equal(denoise(hu[..., 2])[0], expected[..., 2])
    np.testing.assert_array_equal(denoise(torch.from_numpy(hu)).numpy()[0], expected)


def test_channels_are_denoised_one_by_one(smoothing):
    hu = volume(2, 16, 16, 3)
    denoise = Denoise(smoothing, strength=1)
    np.testing.assert_array_equal(denoise(hu)[1], denoise(hu[1:])[0])


def test_deep_volumes_of_small_slices_are_not_taken_for_others(smoothing):
    """[D, H, W] with D = H > W looks like [H, W, D] to the denoiser."""
    hu = volume(1, 128, 20, 128)
    result = Denoise(smoothing, strength=1)(hu)
    np.testing.assert_array_equal(result[0, ..., 5], smoothing(hu[0, ..., 5], strength=1))


def test_a_meta_tensor_keeps_affine_metadata_and_applied_operations(smoothing, tmp_path):
    affine = np.diag([0.7, 0.8, 2.5, 1.0])
    nib.save(nib.Nifti1Image(volume(24, 20, 5), affine), tmp_path / "ct.nii.gz")
    load = [
        LoadImaged("image"),
        EnsureChannelFirstd("image"),
        Orientationd("image", axcodes="PLS"),
        Flipd("image", spatial_axis=0),
    ]
    before = Compose(load)({"image": str(tmp_path / "ct.nii.gz")})
    steps = Compose([*load, Denoised("image", smoothing, strength=1.0)])
    after = steps({"image": str(tmp_path / "ct.nii.gz")})
    result = after["image"]
    assert isinstance(result, MetaTensor)
    assert result.shape == (1, 20, 24, 5)
    assert torch.equal(result.affine, before["image"].affine)
    assert result.meta["filename_or_obj"] == before["image"].meta["filename_or_obj"]
    assert [op["class"] for op in result.applied_operations] == ["Orientation", "Flip"]
    assert not torch.equal(result, before["image"])
    back = steps.inverse({"image": result})["image"]
    assert back.shape == (1, 24, 20, 5)
    np.testing.assert_allclose(back.affine, affine)


def test_the_automatic_strength_is_that_of_the_denoiser(data):
    slices = discover(data / "ct" / "rider-0117").series[0].slices[:2]
    images = [read_slice(file.path) for file in slices]
    hu = np.stack([image.hu for image in images])
    model = Denoiser.from_pretrained("ct-lowdose-lite", device="cpu", engine="eager")
    spacing, thickness = images[0].pixel_spacing_mm, images[0].slice_thickness_mm
    expected = model(hu, pixel_spacing_mm=spacing, slice_thickness_mm=thickness)
    affine = torch.diag(torch.tensor([spacing, spacing, thickness, 1], dtype=torch.float64))
    image = MetaTensor(torch.from_numpy(hu).movedim(0, -1)[None], affine=affine)
    result = Denoise(model)(image)
    np.testing.assert_array_equal(result[0].movedim(-1, 0).numpy(), expected)
    assert not np.array_equal(expected, model(hu, strength=1))


def test_what_cannot_be_denoised_is_refused(smoothing):
    denoise = Denoise(smoothing, strength=1)
    with pytest.raises(ValueError, match=r"expected \[C, H, W\] or \[C, H, W, D\], found shape \(16, 16\)"):
        denoise(volume(16, 16))
    sagittal = torch.eye(4, dtype=torch.float64)[[2, 1, 0, 3]]
    with pytest.raises(ValueError, match="expected axial slices along the last axis"):
        denoise(MetaTensor(torch.zeros(1, 16, 16, 4), affine=sagittal))
    with pytest.raises(InputError, match="found one for photographs"):
        Denoise("natural-gaussian")
    with pytest.raises(ValueError, match="strength"):
        Denoise(smoothing, strength=2)
    with pytest.raises(ValueError, match="from 0 to 1, or None for automatic, found auto"):
        Denoised("image", smoothing, strength="auto")


def test_transforms_can_be_sent_to_the_workers_of_a_data_loader(smoothing):
    denoise = Denoised("image", smoothing, strength=1)
    hu = volume(1, 16, 16)
    again = pickle.loads(pickle.dumps(denoise))
    np.testing.assert_array_equal(again({"image": hu})["image"], denoise({"image": hu})["image"])


def test_the_parts_give_what_the_denoiser_gives():
    """Metal, values outside the field of view and NaN included; any size."""
    network = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.constant_(network.weight, 0.9)
    torch.nn.init.constant_(network.bias, 0.01)
    hu = volume(1, 20, 33, 3)
    hu[0, 0, :4, 0] = [5000, -2000, np.nan, 3072]
    denoiser = Denoiser(network, channels=1, device="cpu")
    expected = denoiser(hu[0].transpose(2, 0, 1), strength=0.7).transpose(1, 2, 0)
    item = NetworkInputd("image")({"image": torch.from_numpy(hu), "source": torch.from_numpy(hu)})
    assert 0 <= float(item["image"].min()) <= float(item["image"].max()) <= 1
    with torch.no_grad():
        item["pred"] = SliceInferer(batch_size=2)(item["image"][None], network)[0]
    result = NetworkOutputd("pred", strength=0.7)(item)["pred"]
    np.testing.assert_allclose(result[0].numpy(), expected, atol=1e-3)
    np.testing.assert_array_equal(result[0, 0, :3, 0].numpy(), hu[0, 0, :3, 0])


def test_the_inferer_applies_a_network_to_slices_of_any_size():
    network = torch.nn.Conv2d(1, 2, 3, padding=1)
    images = torch.rand(2, 1, 32, 48, 5)
    result = SliceInferer(batch_size=3)(images, network)
    assert result.shape == (2, 2, 32, 48, 5)
    torch.testing.assert_close(result[1, ..., 4], SimpleInferer()(images[1:, ..., 4], network)[0])
    assert SliceInferer()(torch.rand(1, 1, 17, 5), network).shape == (1, 2, 17, 5)


def test_a_series_and_a_volume_are_loaded_as_monai_loads_volumes(tmp_path, data):
    """Axes, affine and HU are those of MONAI's own readers, which order slices by Instance Number."""
    series = data / "ct" / "lidc-0001"
    orient = Orientationd("image", axcodes="LPS")
    ours = orient({"image": load_hu(series)})["image"]
    read = [LoadImaged("image", reader="PydicomReader"), EnsureChannelFirstd("image"), orient]
    theirs = Compose(read)({"image": str(series)})
    torch.testing.assert_close(ours.affine, theirs["image"].affine, rtol=0, atol=1e-3)
    np.testing.assert_allclose(ours.numpy(), theirs["image"].numpy(), atol=1e-3)
    nib.save(nib.Nifti1Image(volume(9, 8, 7), np.diag([-1.0, 2, 3, 1])), tmp_path / "ct.nii")
    ours = LoadHUd("image")({"image": str(tmp_path / "ct.nii")})["image"]
    theirs = Compose([LoadImaged("image"), EnsureChannelFirstd("image")])({"image": str(tmp_path / "ct.nii")})["image"]
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    np.testing.assert_allclose(ours.affine, theirs.affine)


def test_inputs_are_listed(tmp_path):
    assert find_ct(tmp_path / "absent") == []
    make_series(tmp_path / "a", slices=2)
    nib.save(nib.Nifti1Image(volume(9, 8, 7), np.eye(4)), tmp_path / "ct.nii")
    series, nifti = find_ct(tmp_path)
    assert [len(series["image"]), nifti["image"]] == [2, str(tmp_path / "ct.nii")]
    assert find_ct(tmp_path / "ct.nii") == [nifti]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("none")
    with pytest.raises(InputError, match="expected CT series or volumes, found none"):
        find_ct(tmp_path / "empty")


def test_what_is_not_one_volume_is_refused(tmp_path):
    make_series(tmp_path / "a", slices=2)
    make_series(tmp_path / "b", slices=1, size=(20, 20))
    with pytest.raises(InputError, match="expected one CT series, found series 7, 7"):
        load_hu(tmp_path)
    paths = [*(tmp_path / "a").iterdir(), *(tmp_path / "b").iterdir()]
    with pytest.raises(InputError, match="slice by slice"):
        load_hu(paths)
    nib.save(nib.Nifti1Image(volume(9, 8, 7, 2), np.eye(4)), tmp_path / "ct.nii")
    with pytest.raises(InputError, match="expected one time point, found 2"):
        load_hu(tmp_path / "ct.nii")


def test_images_that_were_scaled_before_are_refused(smoothing):
    with pytest.raises(ValueError, match="expected HU, found values from 0 to 1; put it before"):
        Denoise(smoothing, strength=1)(np.linspace(0, 1, 512, dtype=np.float32).reshape(1, 16, 32))
    blank = np.zeros((1, 16, 16), np.float32)  # a slice without signal is HU
    np.testing.assert_array_equal(Denoise(smoothing, strength=0)(blank), blank)
