from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from ctdenoise.errors import InputError
from ctdenoise.evaluation.pairing import align, pair
from ctdenoise.evaluation.stacks import open_stack
from tests.conftest import make_series, run_series


@pytest.fixture
def series(tmp_path):
    return make_series(tmp_path / "series", slices=5)


def volume(path, *, count=5, origin=0.0, spacing=2.5, direction=None):
    image = SimpleITK.GetImageFromArray(
        np.arange(count, dtype=np.int16)[:, None, None] * np.ones((1, 40, 36), np.int16)
    )
    image.SetSpacing((0.8, 0.8, spacing))
    image.SetOrigin((0, 0, origin))
    if direction:
        image.SetDirection(direction)
    SimpleITK.WriteImage(image, path)
    return path


def test_a_derived_series_is_paired_with_its_source_whatever_the_names(series, identity, tmp_path):
    result = run_series(identity, series, tmp_path / "out")
    for number, file in enumerate(sorted(result.folder.glob("*.dcm"), reverse=True)):
        file.rename(result.folder / f"x{number}")
    aligned = align({"reference": open_stack(series), "test": open_stack(result.folder)})
    assert len(aligned) == 5
    for index in range(5):
        images = aligned.read(index)
        assert np.array_equal(images["reference"], images["test"])
    (result.folder / "x0").unlink()
    assert align({"reference": open_stack(series), "test": open_stack(result.folder)}).unmatched == 1


def test_two_results_of_one_series_are_paired_by_it(series, identity, halve, tmp_path):
    one, other = (run_series(d, series, tmp_path / n).folder for d, n in ((identity, "a"), (halve, "b")))
    matches = pair(open_stack(one), open_stack(other))
    assert matches == [(i, i) for i in range(5)]


def test_series_without_common_sources_are_paired_by_position(tmp_path):
    full = make_series(tmp_path / "full", slices=5)

    def later(image, index):
        image.ImagePositionPatient = [0, 0, 2.5 * (index + 2)]

    part = make_series(tmp_path / "part", slices=3, edit=later)
    assert pair(open_stack(full), open_stack(part)) == [(2, 0), (3, 1), (4, 2)]
    with pytest.raises(InputError, match=r"found none for slice 1 at 0\.0 mm, slice 2 at 2\.5 mm"):
        pair(open_stack(part), open_stack(full))


def test_several_slices_at_one_position_are_named(tmp_path):
    full = make_series(tmp_path / "full", slices=2)

    def same(image, index):
        image.ImagePositionPatient = [0, 0, 0]

    with pytest.raises(InputError, match="several at the same position: slice 1"):
        pair(open_stack(full), open_stack(make_series(tmp_path / "twice", slices=2, edit=same)))


def test_volumes_are_paired_by_position_and_refused_where_their_slices_are_others(tmp_path, series):
    reference = open_stack(volume(tmp_path / "a.nii.gz"))
    shifted = open_stack(volume(tmp_path / "b.mha", count=3, origin=5.0))
    assert pair(reference, shifted) == [(2, 0), (3, 1), (4, 2)]
    assert align({"reference": reference, "test": shifted}).read(0)["test"].max() == 0
    assert pair(open_stack(series), reference) == [(i, i) for i in range(5)]
    sagittal = open_stack(volume(tmp_path / "c.nrrd", direction=(0, 0, 1, 1, 0, 0, 0, 1, 0)))
    with pytest.raises(InputError, match=r"found none for slice 2 at 0\.8 mm"):
        pair(reference, sagittal)
    oblique = open_stack(volume(tmp_path / "d.nrrd", direction=(1, 0, 0, 0, 0.8, -0.6, 0, 0.6, 0.8)))
    with pytest.raises(InputError, match="expected slices with the normal"):
        pair(reference, oblique)


def test_a_volume_that_changed_is_read_again(tmp_path):
    path = volume(tmp_path / "a.mha", count=3)
    assert open_stack(path).read(2).max() == 2
    volume(path, count=5)
    assert open_stack(path).read(4).max() == 4


def test_arrays_are_paired_in_order(tmp_path, series):
    np.save(tmp_path / "five.npy", np.zeros((5, 40, 36), np.float32))
    np.save(tmp_path / "one.npy", np.zeros((40, 36)))
    assert len(pair(open_stack(series), open_stack(tmp_path / "five.npy"))) == 5
    with pytest.raises(InputError, match="expected 5 slices as in the reference, found 1"):
        pair(open_stack(series), open_stack(tmp_path / "one.npy"))


def test_images_are_paired_by_name_else_in_order(tmp_path):
    for folder, names in (("a", "xyz"), ("b", "zx"), ("c", "123")):
        (tmp_path / folder).mkdir()
        for name in names:
            Image.fromarray(np.full((8, 8), ord(name), np.uint8)).save(tmp_path / folder / f"{name}.png")
    a, b, c = (open_stack(tmp_path / name) for name in "abc")
    assert pair(a, b) == [(0, 0), (2, 1)]
    images = align({"reference": a, "test": b}).read(1)
    assert np.array_equal(images["reference"], images["test"])
    assert pair(a, c) == [(0, 0), (1, 1), (2, 2)]


def test_images_beside_hu_and_other_sizes_are_refused(tmp_path, series):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "x.png")
    with pytest.raises(InputError, match="found photographs and CT"):
        pair(open_stack(series), open_stack(tmp_path / "x.png"))
    np.save(tmp_path / "wide.npy", np.zeros((5, 40, 40), np.float32))
    with pytest.raises(InputError, match=r"slice 1 at 0\.0 mm: expected 40×36 as in reference, found 40×40"):
        align({"reference": open_stack(series), "test": open_stack(tmp_path / "wide.npy")}).read(0)


def test_what_cannot_be_opened_is_told(tmp_path, series):
    with pytest.raises(InputError, match="found no such file or folder"):
        open_stack(tmp_path / "nothing")
    make_series(tmp_path / "two" / "a")
    make_series(tmp_path / "two" / "b")
    with pytest.raises(InputError, match=r"expected one CT series, found 7 \(3 slices\), 7 \(3 slices\)"):
        open_stack(tmp_path / "two")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "two" / "picture.png")
    with pytest.raises(InputError, match="expected one CT series"):
        open_stack(tmp_path / "two")
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(InputError, match="cannot be read"):
        open_stack(tmp_path / "text.npy")
    np.save(tmp_path / "four.npy", np.zeros((1, 2, 3, 4)))
    with pytest.raises(InputError, match="expected HU of shape"):
        open_stack(tmp_path / "four.npy")
