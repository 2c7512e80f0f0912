from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK

from ctdenoise.errors import InputError
from ctdenoise.io.volumes import read_volume

SINGLE, DETACHED = (".nrrd", ".mha"), (".nhdr", ".mhd")
ORIENTATIONS = [
    "".join(pair[flip] for pair, flip in zip(order, flips, strict=True))
    for order in itertools.permutations(("LR", "PA", "IS"))
    for flips in itertools.product((0, 1), repeat=3)
]


def make(dtype=np.int16, shape=(4, 5, 6), *, low=-1000):
    image = SimpleITK.GetImageFromArray(
        np.random.default_rng(0).integers(low, 1500, shape).astype(dtype), isVector=False
    )
    dimensions = image.GetDimension()
    image.SetSpacing((0.7031251234567, 0.8, 2.5, 1.0)[:dimensions])
    image.SetOrigin((-40.123456789, 12.25, -300, 0)[:dimensions])
    image.SetMetaData("PatientName", "DOE^JOHN")
    return image


def save(image, path):
    SimpleITK.WriteImage(image, path)
    return path


def assert_same(path, other):
    one, two = SimpleITK.ReadImage(path), SimpleITK.ReadImage(other)
    for ask in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection", "GetPixelID"):
        assert getattr(one, ask)() == getattr(two, ask)()
    assert {k: one.GetMetaData(k) for k in one.GetMetaDataKeys()} == {
        k: two.GetMetaData(k) for k in two.GetMetaDataKeys()
    }
    one, two = SimpleITK.GetArrayFromImage(one), SimpleITK.GetArrayFromImage(two)
    assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize("suffix", SINGLE + DETACHED)
@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64]
)
def test_an_identity_changes_nothing(suffix, dtype, tmp_path):
    path = save(make(dtype, low=-1000 if np.dtype(dtype).itemsize > 1 else -100), tmp_path / f"a{suffix}")
    (tmp_path / "out").mkdir()
    volume = read_volume(path)
    assert volume.write(volume.hu, tmp_path / "out" / path.name) == 0
    assert_same(path, tmp_path / "out" / path.name)
    names = ["a.mhd", "a.raw"] if suffix == ".mhd" else ["a.nhdr", "a.raw"] if suffix == ".nhdr" else [path.name]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_planes_are_axial_and_results_go_back_to_where_they_were(codes, tmp_path):
    image = SimpleITK.DICOMOrient(make(), codes)
    volume = read_volume(save(image, tmp_path / "a.nrrd"))
    expected = SimpleITK.DICOMOrient(image, "LPS")
    np.testing.assert_array_equal(volume.hu, SimpleITK.GetArrayFromImage(expected))
    direction = np.array(expected.GetDirection()).reshape(3, 3) * expected.GetSpacing()
    np.testing.assert_allclose(volume.plane_affine[:3, :3], direction)
    np.testing.assert_allclose(volume.plane_affine[:3, 3], expected.GetOrigin())
    assert volume.pixel_spacing_mm == pytest.approx(0.8)
    assert volume.slice_thickness_mm == pytest.approx(2.5)
    volume.write(volume.hu, tmp_path / "same.nrrd")
    assert_same(tmp_path / "a.nrrd", tmp_path / "same.nrrd")
    volume.write(volume.hu + np.arange(120, dtype=np.float32).reshape(4, 5, 6), tmp_path / "out.nrrd")
    result = SimpleITK.DICOMOrient(SimpleITK.ReadImage(tmp_path / "out.nrrd"), "LPS")
    change = SimpleITK.GetArrayFromImage(result - expected)
    np.testing.assert_array_equal(change, np.arange(120).reshape(4, 5, 6))


@pytest.mark.parametrize("suffix", SINGLE + DETACHED)
def test_oblique_volumes_keep_their_planes(suffix, tmp_path):
    image = make()
    c, s = np.cos(0.4), np.sin(0.4)
    image.SetDirection((1, 0, 0, 0, c, -s, 0, s, c))
    path = save(image, tmp_path / f"a{suffix}")
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.hu, SimpleITK.GetArrayFromImage(image))
    (tmp_path / "out").mkdir()
    volume.write(volume.hu, tmp_path / "out" / path.name)
    assert_same(path, tmp_path / "out" / path.name)


def test_sheared_nrrd(tmp_path):
    header = (
        "NRRD0005\ntype: short\ndimension: 3\nspace: right-anterior-superior\nsizes: 6 5 4\n"
        "space directions: (-0.7,0,0) (0,-0.76,-0.25) (0,0.3,2.4)\nkinds: domain domain domain\nendian: little\n"
        "encoding: raw\nspace origin: (10,20,30)\ncontent: DOE^JOHN\nthicknesses: 1 1 2\nName:=DOE^JOHN\n\n"
    )
    values = np.arange(120, dtype="<i2").reshape(4, 5, 6)
    (tmp_path / "a.nrrd").write_bytes(header.encode() + values.tobytes())
    volume = read_volume(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(volume.hu, values)
    np.testing.assert_allclose(volume.plane_affine[:3], [[0.7, 0, 0, -10], [0, 0.76, -0.3, -20], [0, -0.25, 2.4, 30]])
    volume.write(volume.hu, tmp_path / "out.nrrd")
    np.testing.assert_allclose(read_volume(tmp_path / "out.nrrd").affine, volume.affine)


def test_what_simpleitk_cannot_write_again_is_named(tmp_path, caplog):
    test_sheared_nrrd(tmp_path)
    assert "left out: NRRD_thicknesses[0], NRRD_thicknesses[1], NRRD_thicknesses[2]" in caplog.text
    assert b"content: DOE^JOHN" in (tmp_path / "out.nrrd").read_bytes()
    volume = read_volume(tmp_path / "a.nrrd").without_identity()
    volume.write(volume.hu, tmp_path / "nameless.nrrd")
    assert b"DOE" not in (tmp_path / "nameless.nrrd").read_bytes()
    np.testing.assert_allclose(read_volume(tmp_path / "nameless.nrrd").affine, volume.affine)


@pytest.mark.parametrize("suffix", SINGLE + DETACHED)
def test_without_identity_no_text_is_left(suffix, tmp_path):
    path = save(make(), tmp_path / f"a{suffix}")
    assert b"DOE" in path.read_bytes()
    volume = read_volume(path)
    nameless = volume.without_identity()
    assert nameless.content_sha256() == volume.content_sha256()
    (tmp_path / "out").mkdir()
    nameless.write(nameless.hu, tmp_path / "out" / path.name)
    assert b"DOE" not in (tmp_path / "out" / path.name).read_bytes()
    again = read_volume(tmp_path / "out" / path.name)
    np.testing.assert_array_equal(again.stored, volume.stored)
    np.testing.assert_array_equal(again.affine, volume.affine)


@pytest.mark.parametrize(("suffix", "shape"), [*itertools.product(SINGLE, [(5, 6), (3, 4, 5, 6), (1, 4, 5, 6)])])
def test_planes_and_time_series(suffix, shape, tmp_path):
    path = save(make(shape=shape), tmp_path / f"a{suffix}")
    volume = read_volume(path)
    assert volume.frames == (shape[0] if len(shape) == 4 else 1)
    assert (volume.slice_thickness_mm is None) == (len(shape) == 2)
    values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
    np.testing.assert_array_equal(volume.hu, values.reshape(-1, 5, 6))
    volume.write(volume.hu, tmp_path / f"same{suffix}")
    assert_same(path, tmp_path / f"same{suffix}")


def test_padding_and_nan_come_back_as_they_were(tmp_path):
    image = make(np.float32, low=-3000)
    image[0, 0, 0], image[1, 0, 0] = float("nan"), float("inf")
    volume = read_volume(save(image, tmp_path / "a.mha"))
    volume.write(volume.hu + 1, tmp_path / "out.mha")
    before, after = (SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(tmp_path / n)) for n in ("a.mha", "out.mha"))
    padding = ~np.isfinite(before) | (before < -1400)
    assert padding.sum() > 10
    assert set(volume.hu[padding]) == {-1024}
    np.testing.assert_array_equal(after[padding], before[padding])
    np.testing.assert_array_equal(after[~padding], before[~padding] + 1)


def test_what_is_no_volume_of_hu_is_refused(tmp_path):
    save(SimpleITK.Image([4, 4, 4], SimpleITK.sitkVectorFloat32, 3), tmp_path / "rgb.mha")
    with pytest.raises(InputError, match=r"found 3 dimensions, 3 component\(s\)"):
        read_volume(tmp_path / "rgb.mha")
    save(SimpleITK.Image([4, 4, 4], SimpleITK.sitkComplexFloat32), tmp_path / "complex.nrrd")
    with pytest.raises(InputError, match="of complex of 32-bit float a voxel"):
        read_volume(tmp_path / "complex.nrrd")
    save(make(), tmp_path / "a.mhd")
    (tmp_path / "a.raw").unlink()
    with pytest.raises(InputError, match="the file of its voxels may be missing"):
        read_volume(tmp_path / "a.mhd")


def test_detached_voxels_of_another_header_are_not_replaced(tmp_path):
    (tmp_path / "in").mkdir()
    one, other = (read_volume(save(make(low=low), tmp_path / "in" / n)) for low, n in ((0, "a.mhd"), (-900, "a.nhdr")))
    one.write(one.hu, tmp_path / "a.mhd")
    with pytest.raises(InputError, match=r"would replace those of a\.mhd"):
        other.write(other.hu, tmp_path / "a.nhdr")
    one.write(one.hu + 1, tmp_path / "a.mhd")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mhd").hu, one.hu + 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mhd", "a.raw", "in"]


def test_what_cannot_be_written_says_so_and_leaves_nothing(tmp_path):
    for suffix in SINGLE + DETACHED:
        (tmp_path / "in").mkdir(exist_ok=True)
        volume = read_volume(save(make(), tmp_path / "in" / f"a{suffix}"))
        with pytest.raises(InputError, match="cannot be written"):
            volume.write(volume.hu, tmp_path / "absent" / f"a{suffix}")
        (tmp_path / f"a{suffix}").mkdir()
        with pytest.raises(InputError, match="cannot be written"):
            volume.write(volume.hu, tmp_path / f"a{suffix}")
        (tmp_path / f"a{suffix}").rmdir()
        (tmp_path / "a.raw").unlink(missing_ok=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]
