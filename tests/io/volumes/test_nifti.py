from __future__ import annotations

import gzip
import itertools
import shutil
import subprocess

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import discover, read_slice
from ctdenoise.io.volumes import read_volume

AXIAL = np.array([[0.7, 0, 0, -40.5], [0, 0.8, 0, 12.25], [0, 0, 2.5, -300], [0, 0, 0, 1]])
TILTED = np.array([[0.7, 0, 0, -40], [0, 0.76, 0.8, 12], [0, -0.25, 2.4, -300], [0, 0, 0, 1]])
ORIENTATIONS = [
    "".join(pair[flip] for pair, flip in zip(order, flips, strict=True))
    for order in itertools.permutations(("LR", "PA", "IS"))
    for flips in itertools.product((0, 1), repeat=3)
]


def save(path, values, *, affine=AXIAL, kind=nibabel.Nifti1Image, scaling=(1.0, 0.0), edit=None):
    """Write `values` as they are stored, with the slope and intercept given, after `edit` of the image."""
    image = kind(np.zeros(values.shape, values.dtype), affine, dtype=values.dtype)
    image = kind(values, None, image.header)
    image.header.set_slope_inter(*scaling)
    if edit:
        edit(image)
    image.to_filename(path)
    return path


def random(dtype=np.int16, shape=(6, 5, 4), low=-1000, high=1500):
    return np.random.default_rng(0).integers(low, high, shape).astype(dtype)


def plane_points(volume, index):
    """Return the patient coordinates of all pixels of plane `index`, ``[H, W, 3]``."""
    height, width = volume.hu.shape[1:]
    rows, columns = np.mgrid[:height, :width]
    indices = np.stack([columns, rows, np.full_like(rows, index), np.ones_like(rows)], axis=-1)
    return (indices @ volume.plane_affine.T)[..., :3]


@pytest.mark.parametrize("affine", [AXIAL, TILTED], ids=["axial", "tilted"])
@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_planes_are_axial_and_results_go_back_to_where_they_were(codes, affine, tmp_path):
    values = random(shape=(6, 5, 4))
    reorder = nibabel.orientations.ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    stored = nibabel.apply_orientation(values, reorder)
    path = save(tmp_path / "a.nii", stored, affine=affine @ inv_ornt_aff(reorder, values.shape))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.hu, values[::-1, ::-1].T)
    for axis in range(3):
        assert volume.plane_affine[axis, axis] > 0
    assert volume.pixel_spacing_mm == pytest.approx(np.linalg.norm(affine[:3, 1]))
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    assert volume.slice_thickness_mm == pytest.approx(abs(affine[:3, 2] @ normal) / np.linalg.norm(normal))

    assert volume.write(volume.hu, tmp_path / "same.nii") == 0
    assert (tmp_path / "same.nii").read_bytes() == path.read_bytes()

    change = np.arange(volume.hu.size, dtype=np.float32).reshape(volume.hu.shape)
    volume.write(volume.hu + change, tmp_path / "out.nii")
    # SimpleITK refuses tilted volumes.
    reader = nibabel.load(tmp_path / "out.nii")
    to_index = np.linalg.inv(np.diag([-1, -1, 1, 1]) @ reader.affine)
    for index in range(len(volume.hu)):
        points = np.concatenate([plane_points(volume, index), np.ones((*volume.hu.shape[1:], 1))], axis=-1)
        i, j, k = np.rint(points @ to_index.T)[..., :3].astype(int).transpose(2, 0, 1)
        np.testing.assert_array_equal(np.asarray(reader.dataobj)[i, j, k], (volume.hu + change)[index])


@pytest.mark.parametrize("codes", ["RAS", "LPS", "AIR", "SLP", "PSL"])
def test_simpleitk_finds_each_value_at_its_place(codes, tmp_path):
    values = random(shape=(6, 5, 4))
    reorder = nibabel.orientations.ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    affine = AXIAL @ inv_ornt_aff(reorder, values.shape)
    volume = read_volume(save(tmp_path / "a.nii.gz", nibabel.apply_orientation(values, reorder), affine=affine))
    result = volume.hu + np.arange(volume.hu.size, dtype=np.float32).reshape(volume.hu.shape)
    volume.write(result, tmp_path / "out.nii.gz")
    image = SimpleITK.ReadImage(tmp_path / "out.nii.gz")
    for index in range(len(result)):
        for row, column in np.ndindex(result.shape[1:]):
            point = plane_points(volume, index)[row, column].tolist()
            assert image[image.TransformPhysicalPointToIndex(point)] == result[index, row, column]


INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]


@pytest.mark.parametrize("scaling", [(1, 0), (1, -1024), (0.5, 3.25), (-2, 100), (1 / 3, -500.1)])
@pytest.mark.parametrize("dtype", [*INTEGERS, np.float32, np.float64])
def test_every_type_and_scaling_is_kept(dtype, scaling, tmp_path):
    values = random(dtype, low=20, high=90)
    path = save(tmp_path / "a.nii", values, scaling=scaling)
    slope, intercept = (float(np.float32(number)) for number in scaling)
    volume = read_volume(path)
    np.testing.assert_allclose(volume.hu, (values * slope + intercept)[::-1, ::-1].T, rtol=1e-6)
    volume.write(volume.hu, tmp_path / "same.nii")
    assert (tmp_path / "same.nii").read_bytes() == path.read_bytes()
    assert volume.write(volume.hu + np.float32(10.4), tmp_path / "out.nii") == 0
    out = nibabel.load(tmp_path / "out.nii")
    assert out.get_data_dtype() == dtype
    error = np.abs(out.get_fdata() - (values * slope + intercept) - 10.4).max()
    assert error <= (abs(slope) / 2 if dtype in INTEGERS else 0) + 1e-3


def test_values_that_float32_does_not_hold_come_back_exactly(tmp_path):
    values = random(np.float64) + 1e-9 * np.arange(120).reshape(6, 5, 4)
    path = save(tmp_path / "a.nii", values)
    volume = read_volume(path)
    result = volume.hu.copy()
    result[0, 0, 0] += 5
    volume.write(result, tmp_path / "out.nii")
    difference = np.asarray(nibabel.load(tmp_path / "out.nii").dataobj) - values
    assert np.count_nonzero(difference) == 1
    assert difference[-1, -1, 0] == pytest.approx(5, abs=1e-3)


def test_what_the_type_does_not_hold_is_saturated_and_counted(tmp_path):
    volume = read_volume(save(tmp_path / "a.nii", random(np.int16)))
    result = volume.hu.copy()
    result[0, 0, :3] = 40000, -40000, 32767.4
    assert volume.write(result, tmp_path / "out.nii") == 2
    assert read_volume(tmp_path / "out.nii").stored[::-1, -1, 0, 0][:3].tolist() == [32767, -32768, 32767]
    wide = read_volume(save(tmp_path / "b.nii", random(np.int64)))
    assert wide.write(np.full_like(wide.hu, 1e20), tmp_path / "out.nii") == wide.hu.size
    assert (read_volume(tmp_path / "out.nii").stored > 2**62).all()
    with pytest.raises(ValueError, match="expected finite HU"):
        volume.write(np.full_like(volume.hu, np.nan), tmp_path / "out.nii")
    with pytest.raises(ValueError, match=r"expected HU of shape \(4, 5, 6\)"):
        volume.write(result[0], tmp_path / "out.nii")


def test_nan_infinity_and_padding_come_back_as_they_were_and_are_not_tissue(tmp_path):
    values = random(np.float32)
    values[0, 0, 0], values[1, 0, 0], values[2, 0, 0], values[3, 0, 0] = np.nan, np.inf, -np.inf, -3024
    values.view(np.uint32)[4, 0, 0] = 0x7FC12345  # another NaN
    volume = read_volume(save(tmp_path / "a.nii", values))
    assert volume.padding.sum() == 5
    assert set(volume.hu[volume.padding]) == {-1024}
    assert volume.write(volume.hu + 1, tmp_path / "out.nii") == 0
    out = np.asarray(nibabel.load(tmp_path / "out.nii").dataobj)
    np.testing.assert_array_equal(out.view(np.uint32)[:5, 0, 0], values.view(np.uint32)[:5, 0, 0])
    rest = np.isfinite(values) & (values > -1400)
    np.testing.assert_array_equal(out[rest], values[rest] + 1)


def full_header(image):
    header = image.header
    header["descrip"], header["aux_file"], header["intent_name"] = b"DOE^JOHN", b"doe.txt", b"JOHN"
    header["cal_min"], header["cal_max"], header["intent_code"] = -160, 240, 3
    header["qform_code"], header["sform_code"], header["xyzt_units"] = 1, 4, 10
    header["slice_start"], header["toffset"], header["pixdim"][4:] = 1, 2.5, (3, 4, 5, 6)
    header.set_qform(AXIAL + 1e-3 * np.eye(4), code=2)
    if "db_name" in header:
        header["db_name"], header["data_type"], header["glmax"] = b"DOEDB", b"DOETYPE", 77
    header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"DOE^JOHN born 1950"))
    header.extensions.append(nibabel.nifti1.Nifti1Extension(40, b"DOE unknown kind"))


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image, nibabel.Nifti1Pair, nibabel.Nifti2Pair])
def test_header_and_extensions_are_kept(kind, tmp_path):
    names = ("a.hdr", "a.img") if "Pair" in kind.__name__ else ("a.nii",)
    for name in names:
        save(tmp_path / names[-1], random(), kind=kind, edit=full_header)
        volume = read_volume(tmp_path / name)
        (tmp_path / "out").mkdir(exist_ok=True)
        volume.write(volume.hu, tmp_path / "out" / name)
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(names)
        for file in names:
            assert (tmp_path / "out" / file).read_bytes() == (tmp_path / file).read_bytes()
        volume.write(volume.hu + 1, tmp_path / "out" / name)
        out = nibabel.load(tmp_path / "out" / names[-1])
        assert [e.content for e in out.header.extensions] == [b"DOE^JOHN born 1950", b"DOE unknown kind"]
        np.testing.assert_array_equal(np.asarray(out.dataobj), random() + 1)


def test_a_compressed_file_depends_on_nothing_but_its_content(tmp_path):
    volume = read_volume(save(tmp_path / "a.nii.gz", random(), edit=full_header))
    for name in ("b.nii.gz", "c.nii.gz"):
        volume.write(volume.hu, tmp_path / name)
    assert (tmp_path / "b.nii.gz").read_bytes() == (tmp_path / "c.nii.gz").read_bytes()
    assert gzip.decompress((tmp_path / "b.nii.gz").read_bytes()) == gzip.decompress(
        (tmp_path / "a.nii.gz").read_bytes()
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nii.gz", "b.nii.gz", "c.nii.gz"]


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image, nibabel.Nifti1Pair, nibabel.Nifti2Pair])
def test_without_identity_no_text_is_left_and_the_geometry_is(kind, tmp_path):
    name = "a.img" if "Pair" in kind.__name__ else "a.nii"
    volume = read_volume(save(tmp_path / name, random(), kind=kind, edit=full_header, scaling=(2, -5)))
    (tmp_path / "out").mkdir()
    nameless = volume.without_identity()
    nameless.write(nameless.hu, tmp_path / "out" / name)
    for file in (tmp_path / "out").iterdir():
        content = file.read_bytes()
        assert b"DOE" not in content
        assert b"JOHN" not in content
        assert b"doe" not in content
    before, after = nibabel.load(tmp_path / name), nibabel.load(tmp_path / "out" / name)
    for field in ("cal_max", "qform_code", "sform_code", "xyzt_units", "toffset", "intent_code"):
        assert after.header[field] == before.header[field]
    np.testing.assert_array_equal(after.get_qform(), before.get_qform())
    np.testing.assert_array_equal(after.get_sform(), before.get_sform())
    np.testing.assert_array_equal(after.get_fdata(), before.get_fdata())
    assert nameless.content_sha256() == volume.content_sha256()


def test_forms_of_orientation(tmp_path, caplog):
    rotated = AXIAL.copy()
    rotated[:3, :3] = rotated[:3, [2, 0, 1]]

    def only(q, s):
        def edit(image):
            image.header.set_qform(rotated, code=q)
            image.header.set_sform(rotated if s else None, code=s)

        return edit

    by_s, by_q, by_none = (
        read_volume(save(tmp_path / f"{q}{s}.nii", random(), edit=only(q, s))) for q, s in ((0, 2), (1, 0), (0, 0))
    )
    np.testing.assert_allclose(by_q.plane_affine, by_s.plane_affine, atol=1e-4)
    assert by_q.hu.shape == by_s.hu.shape == (6, 4, 5)
    assert by_none.hu.shape == (4, 5, 6)
    assert "no orientation" in caplog.text

    def broken(image):
        only(1, 2)(image)
        image.header["srow_x"] = 0

    np.testing.assert_allclose(read_volume(save(tmp_path / "b.nii", random(), edit=broken)).affine, by_q.affine)
    assert "sform_code but no valid transform" in caplog.text


def test_units_of_length_are_heeded(tmp_path):
    def metres(image):
        image.header.set_xyzt_units("meter")

    affine = AXIAL.copy()
    affine[:3] /= 1000
    volume = read_volume(save(tmp_path / "a.nii", random(), affine=affine, edit=metres))
    assert volume.pixel_spacing_mm == pytest.approx(0.8)
    assert volume.slice_thickness_mm == pytest.approx(2.5)


def test_time_series_go_frame_by_frame(tmp_path):
    values = random(shape=(6, 5, 4, 3))
    path = save(tmp_path / "a.nii", values)
    volume = read_volume(path)
    assert volume.frames == 3
    assert volume.hu.shape == (12, 5, 6)
    for frame in range(3):
        np.testing.assert_array_equal(volume.hu[frame * 4 : frame * 4 + 4], values[::-1, ::-1, :, frame].T)
    volume.write(volume.hu, tmp_path / "same.nii")
    assert (tmp_path / "same.nii").read_bytes() == path.read_bytes()
    volume.write(volume.hu + np.arange(12, dtype=np.float32)[:, None, None], tmp_path / "out.nii")
    difference = np.asarray(nibabel.load(tmp_path / "out.nii").dataobj) - values
    np.testing.assert_array_equal(difference[0, 0], np.arange(12).reshape(3, 4).T)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 4, 1), (6, 5, 1, 1), (6, 5, 4, 2, 1)])
def test_dimensions_of_one_are_kept(shape, tmp_path):
    path = save(tmp_path / "a.nii", random(shape=shape))
    volume = read_volume(path)
    assert (volume.slice_thickness_mm is None) == (len(shape) == 2)
    volume.write(volume.hu + 1, tmp_path / "out.nii")
    out = nibabel.load(tmp_path / "out.nii")
    assert out.shape == shape
    np.testing.assert_array_equal(np.asarray(out.dataobj), random(shape=shape) + 1)


@pytest.mark.parametrize(("codes", "shape"), [("RSA", (6, 5, 1)), ("RAS", (6, 1, 5)), ("ASR", (6, 5, 1))])
def test_a_single_plane_stays_that_plane(codes, shape, tmp_path):
    affine = np.linalg.inv(inv_ornt_aff(axcodes2ornt(codes), shape))
    volume = read_volume(save(tmp_path / "a.nii", random(shape=shape), affine=affine))
    assert volume.hu.shape == (1, 5, 6)
    assert volume.plane_affine[2, 1] == pytest.approx(-1)  # rows go down
    volume.write(volume.hu, tmp_path / "same.nii")
    assert (tmp_path / "same.nii").read_bytes() == (tmp_path / "a.nii").read_bytes()


def test_big_endian_files_stay_so(tmp_path):
    little = save(tmp_path / "a.nii", random(), scaling=(1, -24))
    image = nibabel.load(little)
    header = nibabel.Nifti1Header(image.header.binaryblock).as_byteswapped(">")
    header["vox_offset"], header["scl_slope"], header["scl_inter"] = 352, 1, -24
    (tmp_path / "b.nii").write_bytes(header.binaryblock + bytes(4) + random().astype(">i2").tobytes(order="F"))
    volume = read_volume(tmp_path / "b.nii")
    np.testing.assert_array_equal(volume.hu, read_volume(little).hu)
    volume.write(volume.hu, tmp_path / "same.nii")
    assert (tmp_path / "same.nii").read_bytes() == (tmp_path / "b.nii").read_bytes()
    assert volume.content_sha256() == read_volume(little).content_sha256()


def test_content_is_values_and_geometry_and_not_names(tmp_path):
    def sha(name, values=None, **options):
        return read_volume(save(tmp_path / name, random() if values is None else values, **options)).content_sha256()

    same = {sha("a.nii"), sha("b.nii.gz"), sha("d.img", kind=nibabel.Nifti1Pair)}
    assert len(same) == 1
    one_voxel = random()
    one_voxel[3, 2, 1] += 1
    moved = AXIAL.copy()
    moved[2, 3] += 0.5
    others = [sha("a.nii", one_voxel), sha("a.nii", affine=moved), sha("a.nii", scaling=(1, 5))]
    others += [sha("a.nii", random(np.int32)), sha("a.nii", random().reshape(6, 5, 4, 1)[:, :, :2])]
    assert len(same | set(others)) == 6


def test_what_is_not_one_number_for_each_voxel_is_refused(tmp_path):
    for dtype, found in ((np.complex64, "complex64"), ([("R", "u1"), ("G", "u1"), ("B", "u1")], "RGB")):
        save(tmp_path / "a.nii", np.zeros((6, 5, 4), dtype))
        with pytest.raises(InputError, match=f"expected one integer or real number for each voxel, found {found}"):
            read_volume(tmp_path / "a.nii")
    save(tmp_path / "a.nii", random(shape=(6, 5, 4, 1, 3)))
    with pytest.raises(InputError, match=r"expected 2 to 4 dimensions, found a shape of \(6, 5, 4, 1, 3\)"):
        read_volume(tmp_path / "a.nii")
    save(tmp_path / "a.nii", np.full((6, 5, 4), np.nan, np.float32))
    with pytest.raises(InputError, match="found no finite voxel"):
        read_volume(tmp_path / "a.nii")


def test_damaged_files_are_refused(tmp_path):
    path = save(tmp_path / "a.nii", random())
    content = path.read_bytes()
    (tmp_path / "short.nii").write_bytes(content[:-1])
    with pytest.raises(InputError, match="expected 240 bytes of voxels, found 239"):
        read_volume(tmp_path / "short.nii")
    (tmp_path / "short.nii.gz").write_bytes(gzip.compress(content)[:-20])
    for name, junk in (("short.nii.gz", None), ("junk.nii", b"junk"), ("plain.nii.gz", content), ("empty.nii", b"")):
        if junk is not None:
            (tmp_path / name).write_bytes(junk)
        with pytest.raises(InputError, match="expected a NIfTI volume, found one that cannot be read"):
            read_volume(tmp_path / name)
    unknown = bytearray(content)
    unknown[70:72] = (999).to_bytes(2, "little")
    (tmp_path / "type.nii").write_bytes(unknown)
    with pytest.raises(InputError, match="expected a valid NIfTI header, found: data code 999 not recognized"):
        read_volume(tmp_path / "type.nii")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@given(st.dictionaries(st.integers(0, 539), st.integers(0, 255), min_size=1, max_size=4))
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_a_header_the_file_is_refused_or_comes_back_as_it_was(kind, tmp_path, changes):
    path = save(tmp_path / "a.nii", random(), kind=kind)
    content = bytearray(path.read_bytes())
    for place, value in changes.items():
        content[place] = value
    path.write_bytes(content)
    try:
        volume = read_volume(path)
    except InputError:
        return
    volume.write(volume.hu, tmp_path / "same.nii")
    assert (tmp_path / "same.nii").read_bytes() == content
    assert volume.without_identity().content_sha256() == volume.content_sha256()
    assert volume.pixel_spacing_mm is not None


def test_pairs_and_analyze(tmp_path):
    nibabel.AnalyzeImage(random(), AXIAL).to_filename(tmp_path / "old.img")
    with pytest.raises(InputError, match=r"found Analyze 7\.5, which does not tell left from right"):
        read_volume(tmp_path / "old.hdr")
    save(tmp_path / "half.img", random(), kind=nibabel.Nifti1Pair)
    (tmp_path / "half.img").unlink()
    with pytest.raises(InputError, match=r"expected the other file of a NIfTI pair \(.hdr and .img\)"):
        read_volume(tmp_path / "half.hdr")
    shutil.copy(tmp_path / "half.hdr", tmp_path / "half.nii")
    with pytest.raises(InputError, match="expected header and voxels in one file, found only a header"):
        read_volume(tmp_path / "half.nii")
    volume = read_volume(save(tmp_path / "a.nii", random()))
    with pytest.raises(ValueError, match="the same kind of NIfTI file"):
        volume.write(volume.hu, tmp_path / "b.hdr")


def test_what_cannot_be_written_says_so_and_leaves_nothing(tmp_path):
    volume = read_volume(save(tmp_path / "a.nii", random()))
    with pytest.raises(InputError, match="cannot be written"):
        volume.write(volume.hu, tmp_path / "absent" / "a.nii")
    (tmp_path / "b.nii").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        volume.write(volume.hu, tmp_path / "b.nii")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nii", "b.nii"]


@pytest.mark.parametrize("name", ["ge-hispeed-tilt", "lidc-0001", "ibsi-sts-001"])
def test_what_dcm2niix_makes_of_real_series(name, data, tmp_path):
    program = shutil.which("dcm2niix")
    if program is None:
        pytest.skip("dcm2niix is not installed (Debian: apt-get install dcm2niix)")
    call = [program, "-b", "n", "-z", "n", "-f", "x", "-o", tmp_path, data / "ct" / name]
    subprocess.run(call, capture_output=True, check=False)
    path = tmp_path / "x.nii"
    volume = read_volume(path)
    slices = [read_slice(file.path) for file in discover(data / "ct" / name).series[0].slices]
    slices.sort(key=lambda one: one.dataset.ImagePositionPatient[2])
    assert len(volume.hu) == len(slices)
    for index, one in enumerate(slices):
        np.testing.assert_array_equal(volume.padding[index], one.padding)
        np.testing.assert_array_equal(volume.hu[index], one.hu)
        if name != "ge-hispeed-tilt":  # uneven spacing, which NIfTI does not hold
            place = np.linalg.inv(volume.plane_affine) @ [*one.dataset.ImagePositionPatient, 1]
            np.testing.assert_allclose(place[:3], [0, 0, index], atol=0.01)
    volume.write(volume.hu, tmp_path / "same.nii")
    assert (tmp_path / "same.nii").read_bytes() == path.read_bytes()
    volume.write(volume.hu + 1, tmp_path / "out.nii")
    changed = np.asarray(nibabel.load(tmp_path / "out.nii").dataobj) - np.asarray(nibabel.load(path).dataobj)
    assert set(np.unique(changed)) <= {0, 1}
    assert np.count_nonzero(changed) == np.count_nonzero(~volume.padding)
