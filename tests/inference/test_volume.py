from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK

from ctdenoise.errors import InputError
from ctdenoise.inference import denoise_path


def make_volume(path, *, dtype=np.int16, shape=(3, 20, 24), low=-1000):
    values = np.random.default_rng(0).integers(low, 1000, shape).astype(dtype)
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing([0.7, 0.8, 2.5][: image.GetDimension()])
    image.SetOrigin([-10, 20, 30][: image.GetDimension()])
    if image.GetDimension() == 3:
        image.SetDirection([0, 1, 0, -1, 0, 0, 0, 0, 1])
    SimpleITK.WriteImage(image, path)
    return values


def read(path):
    image = SimpleITK.ReadImage(path)
    return image, SimpleITK.GetArrayFromImage(image)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_volumes_keep_format_geometry_type_and_with_an_identity_network_every_value(tmp_path, identity, name, dtype):
    values = make_volume(tmp_path / name, dtype=dtype)
    before = (tmp_path / name).read_bytes()
    (result,) = denoise_path(identity, tmp_path / name, tmp_path / "out").results
    source, _ = read(tmp_path / name)
    image, array = read(tmp_path / "out" / name)
    np.testing.assert_array_equal(array, values)
    assert array.dtype == dtype
    for ask in ("GetSpacing", "GetOrigin", "GetDirection", "GetSize"):
        np.testing.assert_allclose(getattr(image, ask)(), getattr(source, ask)(), atol=1e-6)
    assert (tmp_path / name).read_bytes() == before
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [name, f"{name}.manifest.json"]
    manifest = json.loads((tmp_path / "out" / f"{name}.manifest.json").read_text())
    assert manifest == result.manifest
    assert (manifest["status"], len(manifest["slices"])) == ("complete", 3)


def test_values_are_denoised_and_padding_is_not(tmp_path, halve):
    values = make_volume(tmp_path / "a.nrrd", low=-3000)
    denoise_path(halve, tmp_path / "a.nrrd", tmp_path / "out")
    _, array = read(tmp_path / "out" / "a.nrrd")
    padding = values < -1400
    assert padding.any()
    np.testing.assert_array_equal(array[padding], values[padding])
    np.testing.assert_allclose(array[~padding], (values[~padding] - 1024) / 2, atol=0.5)


def test_a_single_slice_is_a_volume_too(tmp_path, halve):
    values = make_volume(tmp_path / "a.mha", shape=(20, 24))
    denoise_path(halve, tmp_path / "a.mha", tmp_path / "out")
    assert read(tmp_path / "out" / "a.mha")[1].shape == values.shape


def test_a_finished_volume_is_left_alone_and_another_strength_is_not_mixed_with_it(tmp_path, halve):
    make_volume(tmp_path / "a.nii")
    denoise_path(halve, tmp_path / "a.nii", tmp_path / "out")
    assert denoise_path(halve, tmp_path / "a.nii", tmp_path / "out").results[0].written == 0
    with pytest.raises(InputError, match="there is a file already"):
        denoise_path(halve, tmp_path / "a.nii", tmp_path / "out", strength=0.5)
    again = denoise_path(halve, tmp_path / "a.nii", tmp_path / "out", strength=0.5, overwrite=True)
    assert again.results[0].written == 3


def test_the_input_is_never_replaced(tmp_path, halve):
    make_volume(tmp_path / "a.nii")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"there is a file already|would replace the input"):
            denoise_path(halve, tmp_path / "a.nii", tmp_path, overwrite=overwrite)


def test_what_is_no_volume_of_hu_is_refused(tmp_path, halve):
    (tmp_path / "junk.nii").write_bytes(b"junk")
    with pytest.raises(InputError, match="found one that cannot be read"):
        denoise_path(halve, tmp_path / "junk.nii", tmp_path / "out")
    with pytest.raises(InputError, match="found nothing there"):
        denoise_path(halve, tmp_path / "absent.nii", tmp_path / "out")
    SimpleITK.WriteImage(SimpleITK.Image([4, 4, 4], SimpleITK.sitkVectorFloat32, 3), tmp_path / "rgb.mha")
    with pytest.raises(InputError, match=r"found 3 dimensions, 3 component\(s\)"):
        denoise_path(halve, tmp_path / "rgb.mha", tmp_path / "out")
    assert not (tmp_path / "out").exists()
