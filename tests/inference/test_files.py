from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from ctdenoise.errors import InputError
from ctdenoise.inference import Denoiser, RunOptions, RunResult, apply_operation, denoise
from ctdenoise.inference.dose_reduction import DoseReductionRequest
from ctdenoise.noise.lowdose import KERNELS, Kernel
from tests.conftest import Halve, make_series


def run(denoiser: Denoiser, source: Path, output: Path, *, strength: float = 1.0, **options: Any) -> RunResult:
    return denoise(source, output, model=denoiser, options=RunOptions(strength=strength, **options))


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
    (result,) = run(identity, tmp_path / name, tmp_path / "out").results
    source, _ = read(tmp_path / name)
    image, array = read(tmp_path / "out" / name)
    np.testing.assert_array_equal(array, values)
    assert array.dtype == dtype
    for ask in ("GetSpacing", "GetOrigin", "GetDirection", "GetSize"):
        np.testing.assert_allclose(getattr(image, ask)(), getattr(source, ask)(), atol=1e-6)
    assert (tmp_path / name).read_bytes() == before
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [name, f"{name}.manifest.json"]
    manifest = json.loads((tmp_path / "out" / f"{name}.manifest.json").read_text())
    assert manifest == result.manifest.document()
    assert (manifest["status"], len(manifest["slices"])) == ("complete", 3)


def test_values_are_denoised_and_padding_is_not(tmp_path, halve):
    values = make_volume(tmp_path / "a.nrrd", low=-3000)
    run(halve, tmp_path / "a.nrrd", tmp_path / "out")
    _, array = read(tmp_path / "out" / "a.nrrd")
    padding = values < -1400
    assert padding.any()
    np.testing.assert_array_equal(array[padding], values[padding])
    np.testing.assert_allclose(array[~padding], (values[~padding] - 1024) / 2, atol=0.5)


def test_a_single_slice_is_a_volume_too(tmp_path, halve):
    values = make_volume(tmp_path / "a.mha", shape=(20, 24))
    run(halve, tmp_path / "a.mha", tmp_path / "out")
    assert read(tmp_path / "out" / "a.mha")[1].shape == values.shape


def test_a_finished_volume_is_left_alone_and_another_strength_is_not_mixed_with_it(tmp_path, halve):
    make_volume(tmp_path / "a.nii")
    run(halve, tmp_path / "a.nii", tmp_path / "out")
    assert run(halve, tmp_path / "a.nii", tmp_path / "out").results[0].written == 0
    with pytest.raises(InputError, match="expected no file or the result of this input and these options"):
        run(halve, tmp_path / "a.nii", tmp_path / "out", strength=0.5)
    again = run(halve, tmp_path / "a.nii", tmp_path / "out", strength=0.5, overwrite=True)
    assert again.results[0].written == 3


def test_the_input_is_never_replaced(tmp_path, halve):
    make_volume(tmp_path / "a.nii")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="would replace the input"):
            run(halve, tmp_path / "a.nii", tmp_path, overwrite=overwrite)


def test_what_is_no_volume_of_hu_is_refused(tmp_path, halve):
    (tmp_path / "junk.nii").write_bytes(b"junk")
    with pytest.raises(InputError, match="found one that cannot be read"):
        run(halve, tmp_path / "junk.nii", tmp_path / "out")
    with pytest.raises(InputError, match="found nothing there"):
        run(halve, tmp_path / "absent.nii", tmp_path / "out")
    SimpleITK.WriteImage(SimpleITK.Image([4, 4, 4], SimpleITK.sitkVectorFloat32, 3), tmp_path / "rgb.mha")
    with pytest.raises(InputError, match=r"found 3 dimensions, 3 component\(s\)"):
        run(halve, tmp_path / "rgb.mha", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def photographs() -> Denoiser:
    """Darkens by half."""
    return Denoiser(Halve(), hu_range=None)


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint16, 3), (np.uint8, 1), (np.uint8, 4)])
def test_a_photograph_becomes_one_of_its_kind(dtype, channels, tmp_path):
    array = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (21, 34, channels), dtype=dtype)
    flat = array[..., 0] if channels == 1 else array
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(flat, isVector=channels > 1), tmp_path / "in.png")
    result = run(photographs(), tmp_path / "in.png", tmp_path / "out")
    out = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(tmp_path / "out" / "in.png")).reshape(array.shape)
    assert out.dtype == dtype
    colours = slice(0, 1 if channels == 1 else 3)
    np.testing.assert_allclose(out[..., colours], array[..., colours] / 2, atol=1)
    np.testing.assert_array_equal(out[..., 3:], array[..., 3:])
    assert [r.written for r in result.results] == [1]
    assert [r.written for r in run(photographs(), tmp_path / "in.png", tmp_path / "out").results] == [0]


def test_a_folder_of_photographs_keeps_its_folders_and_names_what_failed(tmp_path):
    (tmp_path / "in" / "a").mkdir(parents=True)
    for name in ("x.png", "a/y.jpg"):
        Image.fromarray(np.full((20, 30, 3), 200, np.uint8)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "broken.png").write_bytes(b"junk")
    result = run(photographs(), tmp_path / "in", tmp_path / "out")
    assert result.failed
    assert [s.path.name for s in result.skipped] == ["broken.png"]
    assert np.asarray(Image.open(tmp_path / "out" / "a" / "y.jpg")).mean() == pytest.approx(100, abs=2)
    written = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.???"))
    assert written == ["a/y.jpg", "x.png"]
    with pytest.raises(InputError, match="must not be inside the input"):
        run(photographs(), tmp_path / "in", tmp_path / "in" / "out")


def test_models_of_ct_and_of_photographs_do_not_mix(tmp_path, identity):
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "x.png")
    with pytest.raises(InputError, match=r"x\.png: expected a model for photographs, found one for CT; name one"):
        run(identity, tmp_path / "x.png", tmp_path / "out")
    with pytest.raises(InputError, match="expected a model for CT, found one for photographs"):
        photographs()(np.zeros((20, 20)))
    (tmp_path / "dicom").mkdir()
    with pytest.raises(InputError, match="expected PNG, TIFF, JPEG or BMP images, found none"):
        run(photographs(), tmp_path / "dicom", tmp_path / "out")
    slice_file = make_series(tmp_path / "dicom", slices=1) / "IMG001"
    for source in (tmp_path / "dicom", slice_file):
        with pytest.raises(InputError, match="expected photographs, which this model is for, found CT"):
            run(photographs(), source, tmp_path / "out")


def test_grey_and_colour_go_through_networks_of_either():
    colour = np.random.default_rng(0).random((17, 19, 3))
    grey = colour[..., :1]
    for channels in (1, 3):
        denoiser = Denoiser(Halve(), hu_range=None, channels=channels)
        np.testing.assert_allclose(denoiser.denoise_image(grey), grey / 2, atol=1e-6)
        np.testing.assert_allclose(denoiser.denoise_image(colour), colour / 2, atol=1e-6)
        np.testing.assert_allclose(denoiser.denoise_image(colour, strength=0.5), colour * 0.75, atol=1e-6)
    with pytest.raises(ValueError, match=r"expected \[H, W, 1\] or \[H, W, 3\]"):
        denoiser.denoise_image(grey[..., 0])


# The content decides what is there already, not the name


def write_content(path: Path, seed: int) -> None:
    """Write a volume or a photograph with values that depend on the seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    if path.suffix in (".png", ".tiff", ".jpg"):
        Image.fromarray(rng.integers(0, 255, (20, 30, 3), np.uint8)).save(path)
        return
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(rng.integers(-100, 100, (6, 20, 24)).astype(np.int16)), path)


CONTENT_NAMES = ["ct.nii.gz", "ct.nii", "ct.nrrd", "ct.mha", "x.png", "x.tiff"]


@pytest.mark.parametrize("name", CONTENT_NAMES)
def test_another_input_of_the_same_name_is_not_taken_for_done(name, tmp_path, halve):
    denoiser = photographs() if name.startswith("x.") else halve
    write_content(tmp_path / "a" / name, 0)
    write_content(tmp_path / "b" / name, 1)
    write_content(tmp_path / "c" / name, 0)
    output = tmp_path / "out"
    (first,) = run(denoiser, tmp_path / "a" / name, output).results
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    with pytest.raises(InputError, match="found a file of another input or other options"):
        run(denoiser, tmp_path / "b" / name, output)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert run(denoiser, tmp_path / "c" / name, output).results[0].written == 0
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    (replaced,) = run(denoiser, tmp_path / "b" / name, output, overwrite=True).results
    assert replaced.written == first.written
    assert replaced.manifest.source.sha256 != first.manifest.source.sha256
    assert (output / name).read_bytes() != before[name]


def test_a_result_that_was_cut_off_is_not_taken_for_done(tmp_path, halve):
    write_content(tmp_path / "a" / "ct.nii.gz", 0)
    run(halve, tmp_path / "a" / "ct.nii.gz", tmp_path / "out")
    result = tmp_path / "out" / "ct.nii.gz"
    result.write_bytes(result.read_bytes()[:-10])
    with pytest.raises(InputError, match="found a file whose size changed since it was written"):
        run(halve, tmp_path / "a" / "ct.nii.gz", tmp_path / "out")


@pytest.mark.parametrize("change", ["origin", "spacing", "one voxel"])
def test_geometry_and_every_voxel_are_part_of_the_content(change, tmp_path, halve):
    write_content(tmp_path / "a" / "ct.nrrd", 0)
    image = SimpleITK.ReadImage(tmp_path / "a" / "ct.nrrd")
    if change == "origin":
        image.SetOrigin((1, 0, 0))
    elif change == "spacing":
        image.SetSpacing((1, 1, 1.5))
    else:
        image[3, 4, 5] = image[3, 4, 5] + 1
    (tmp_path / "b").mkdir()
    SimpleITK.WriteImage(image, tmp_path / "b" / "ct.nrrd")
    run(halve, tmp_path / "a" / "ct.nrrd", tmp_path / "out")
    with pytest.raises(InputError, match="found a file of another input"):
        run(halve, tmp_path / "b" / "ct.nrrd", tmp_path / "out")


def test_a_file_that_something_else_made_is_not_replaced_unasked(tmp_path, halve):
    write_content(tmp_path / "a" / "ct.nrrd", 0)
    write_content(tmp_path / "out" / "ct.nrrd", 1)
    before = (tmp_path / "out" / "ct.nrrd").read_bytes()
    with pytest.raises(InputError, match="found a file that ctdenoise did not make"):
        run(halve, tmp_path / "a" / "ct.nrrd", tmp_path / "out")
    assert (tmp_path / "out" / "ct.nrrd").read_bytes() == before


def test_a_result_of_another_model_or_strength_is_not_taken_for_done(tmp_path, halve, identity):
    write_content(tmp_path / "a" / "ct.nrrd", 0)
    run(halve, tmp_path / "a" / "ct.nrrd", tmp_path / "out")
    for denoiser, strength in ((identity, 1.0), (halve, 0.5)):
        with pytest.raises(InputError, match="found a file of another input or other options"):
            run(denoiser, tmp_path / "a" / "ct.nrrd", tmp_path / "out", strength=strength)


def test_a_finished_simulation_of_a_volume_is_left_alone(tmp_path):
    write_content(tmp_path / "ct.mha", 0)
    for kernel in (KERNELS["hann"], Kernel("measured", curve=((0.0, 1.0), (0.5, 0.2)))):
        request = DoseReductionRequest(dose=0.5, photons=1e5, kernel=kernel)
        output = tmp_path / kernel.window
        assert apply_operation(request, tmp_path / "ct.mha", output).results[0].written == 6
        assert apply_operation(request, tmp_path / "ct.mha", output).results[0].written == 0


def test_a_folder_of_volumes_is_processed_and_the_one_that_fails_is_named(tmp_path, halve):
    write_content(tmp_path / "in" / "a" / "ct.nrrd", 0)
    write_content(tmp_path / "in" / "b" / "ct.nrrd", 1)
    (tmp_path / "in" / "c.nrrd").write_bytes(b"junk")
    outcome = run(halve, tmp_path / "in", tmp_path / "out")
    assert sorted(str(r.folder.relative_to(tmp_path / "out")) for r in outcome.results) == ["a", "b"]
    assert [s.path.name for s in outcome.skipped if s.failed] == ["c.nrrd"]
    assert outcome.failed
