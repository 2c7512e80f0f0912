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
    assert [item["image"].split("/")[-2] for item in items] == ["c", "c", "a", "a"]
    image = LoadCTSliced("image")(items[0])["image"]
    np.testing.assert_array_equal(image[0], read_slice(tmp_path / "c" / "IMG002").hu)
    assert image.shape == (1, 40, 36)


def test_a_patient_without_slices_is_an_error(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="expected CT slices, found none"):
        list_ct_slices(tmp_path, ["a"])
