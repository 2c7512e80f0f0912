from __future__ import annotations

import numpy as np
import pytest

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import read_slice
from ctdenoise.training import LoadCTSliced, list_ct_slices
from tests.conftest import make_series


def test_slices_are_listed_patient_by_patient_and_read_as_hu(tmp_path):
    for patient in "abc":
        make_series(tmp_path / patient, slices=2)
    items = list_ct_slices(tmp_path, ["c", "a"])
    assert [[path.split("/")[-2:] for path in item["image"]] for item in items] == [
        [["c", "IMG002"]],
        [["c", "IMG001"]],
        [["a", "IMG002"]],
        [["a", "IMG001"]],
    ]
    image = LoadCTSliced("image")(items[0])["image"]
    np.testing.assert_array_equal(image[0], read_slice(tmp_path / "c" / "IMG002").hu)
    assert image.shape == (1, 40, 36)


def test_a_patient_without_slices_is_an_error(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="expected CT slices, found none"):
        list_ct_slices(tmp_path, ["a"])


def test_slabs_average_neighbouring_slices_over_a_thickness(tmp_path):
    make_series(tmp_path / "a", slices=4)  # 2.5 mm apart
    items = list_ct_slices(tmp_path, ["a"], slab_mm=5.0)
    names = [[path.split("/")[-1] for path in item["image"]] for item in items]
    assert names == [["IMG004", "IMG003"], ["IMG003", "IMG002"], ["IMG002", "IMG001"]]
    slices = [read_slice(tmp_path / "a" / name).hu for name in names[0]]
    np.testing.assert_allclose(LoadCTSliced("image")(items[0])["image"][0], sum(slices) / 2, atol=1e-3)
