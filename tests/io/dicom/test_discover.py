from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import discover
from tests.conftest import Edit, make_series


def reasons(folder: Path) -> dict[str, tuple[str, bool]]:
    return {s.path.name: (s.reason, s.failed) for s in discover(folder).skipped}


def test_slices_are_ordered_along_the_normal_whatever_their_names(tmp_path):
    make_series(tmp_path, slices=5)
    (series,) = discover(tmp_path).series
    assert [s.position for s in series.slices] == [0, 2.5, 5, 7.5, 10]
    assert [s.path.name for s in series.slices] == ["IMG005", "IMG004", "IMG003", "IMG002", "IMG001"]
    assert (series.number, series.rows, series.columns) == (7, 40, 36)


@given(order=st.permutations(range(4)))
@settings(max_examples=10, deadline=None)
def test_order_does_not_depend_on_file_names(tmp_path_factory, order):
    folder = tmp_path_factory.mktemp("s")
    make_series(folder, slices=4, size=(4, 4))
    for index, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"x{order[index]}.{index}")
    positions = [s.position for s in discover(folder).series[0].slices]
    assert positions == sorted(positions)


def test_oblique_slices_are_ordered_along_their_own_normal(tmp_path):
    def tilt(image: Dataset, index: int) -> None:
        image.ImageOrientationPatient = ["1", "0", "0", "0", "0", "-1"]  # coronal: the normal is +y
        image.ImagePositionPatient = ["0", str(10 - index), "0"]

    make_series(tmp_path, slices=3, edit=tilt)
    assert [s.position for s in discover(tmp_path).series[0].slices] == [8, 9, 10]


def test_without_positions_instance_numbers_decide(tmp_path):
    def edit(image: Dataset, index: int) -> None:
        del image.ImagePositionPatient
        image.InstanceNumber = 10 - index

    make_series(tmp_path, slices=3, edit=edit)
    (series,) = discover(tmp_path).series
    assert [s.path.name for s in series.slices] == ["IMG001", "IMG002", "IMG003"]


def test_mixed_series_in_nested_folders_are_told_apart(tmp_path):
    make_series(tmp_path / "a" / "deep")
    make_series(tmp_path / "a" / "deep" / "er", slices=2)
    assert sorted(len(s.slices) for s in discover(tmp_path).series) == [2, 3]


def test_everything_else_is_skipped_with_its_reason_and_damage_counts_as_failure(tmp_path):
    def odd(name: str, edit: Edit) -> None:
        make_series(tmp_path / "made", slices=1, edit=edit)
        (tmp_path / "made" / "IMG001").rename(tmp_path / name)

    make_series(tmp_path)
    odd("capture", lambda d, _: setattr(d, "SOPClassUID", SecondaryCaptureImageStorage))
    odd("localizer", lambda d, _: setattr(d, "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    odd("pixelless", lambda d, _: d.__delattr__("PixelData"))
    shutil.copy(tmp_path / "IMG001", tmp_path / "zcopy")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").touch()
    (tmp_path / "cut").write_bytes((tmp_path / "IMG001").read_bytes()[:300])
    found = reasons(tmp_path)
    assert found["capture"] == ("not a CT image but Secondary Capture Image Storage", False)
    assert found["localizer"] == ("a localizer, not a slice of the series", False)
    assert found["pixelless"] == ("PixelData (7FE0,0010): a CT image without pixel data; is the file cut off?", True)
    assert found["zcopy"] == ("same SOPInstanceUID as IMG001", False)
    assert found["notes.txt"] == found["empty"] == ("not a DICOM file", False)
    assert found["cut"][1]
    assert len(discover(tmp_path).series) == 1


def test_series_without_their_uid_are_refused_by_tag(tmp_path):
    make_series(tmp_path, slices=1, edit=lambda d, _: setattr(d, "SeriesInstanceUID", ""))
    assert reasons(tmp_path)["IMG001"] == ("SeriesInstanceUID (0020,000E): expected a value, found none", True)


def test_a_single_file_is_a_series_of_one(tmp_path):
    make_series(tmp_path)
    assert len(discover(tmp_path / "IMG002").series[0].slices) == 1


def test_nothing_there_and_empty_folders_are_errors(tmp_path):
    with pytest.raises(InputError, match="found an empty folder"):
        discover(tmp_path)
    with pytest.raises(InputError, match="found nothing there"):
        discover(tmp_path / "absent")


def test_flavours_are_sorted_without_an_exception(data):
    found = discover(data / "dicom-flavours")
    files = sum(len(s.slices) for s in found.series) + len(found.skipped)
    assert files == sum(p.is_file() for p in (data / "dicom-flavours").rglob("*"))
    assert len({s.uid for s in found.series}) == len(found.series)


def test_uids_do_not_hide_in_several_series(tmp_path):
    uid = generate_uid()
    make_series(tmp_path, slices=3, edit=lambda d, _: setattr(d, "SOPInstanceUID", uid))
    found = discover(tmp_path)
    assert len(found.series[0].slices) == 1
    assert len(found.skipped) == 2


def test_numbers_that_are_none_are_damage(tmp_path):
    make_series(tmp_path)
    path = tmp_path / "IMG001"
    path.write_bytes(path.read_bytes().replace(b"IS\x02\x003 ", b"IS\x02\x00x "))
    (skipped,) = discover(tmp_path).skipped
    assert skipped.failed
    assert skipped.reason.startswith("damaged DICOM")
