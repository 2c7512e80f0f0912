from __future__ import annotations

import errno
import stat

import pytest
from pydicom import dcmread

from ctdenoise.io.dicom import write_slice
from tests.conftest import make_series


def test_a_written_slice_is_complete_and_readable_by_the_umask(tmp_path):
    make_series(tmp_path, slices=1)
    image = dcmread(tmp_path / "IMG001")
    write_slice(image, tmp_path / "out.dcm")
    assert dcmread(tmp_path / "out.dcm") == image
    (tmp_path / "plain").touch()
    assert stat.S_IMODE((tmp_path / "out.dcm").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_dataset_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    make_series(tmp_path / "in", slices=1)
    image = dcmread(tmp_path / "in" / "IMG001")
    image.add_new("Rows", "US", "none")
    (tmp_path / "out").mkdir()
    with pytest.raises(Exception, match="Rows"):
        write_slice(image, tmp_path / "out" / "0001.dcm")
    assert list((tmp_path / "out").iterdir()) == []


def test_errors_of_the_system_keep_their_number_and_name_the_file(tmp_path):
    make_series(tmp_path, slices=1)
    with pytest.raises(OSError, match="No such file") as caught:
        write_slice(dcmread(tmp_path / "IMG001"), tmp_path / "absent" / "0001.dcm")
    assert caught.value.errno == errno.ENOENT
    assert caught.value.filename == str(tmp_path / "absent" / "0001.dcm")
