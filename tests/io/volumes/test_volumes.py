from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import SimpleITK

from ctdenoise.errors import InputError
from ctdenoise.io.volumes import find_volumes, is_volume, read_volume


def test_names_of_volumes(tmp_path):
    for name in ("a.nii", "B.NII.GZ", "a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.hdr"):
        assert is_volume(tmp_path / name)
    for name in ("a.img", "a.dcm", "a.gz", "nii", "a.raw"):
        assert not is_volume(tmp_path / name)
    (tmp_path / "a.hdr").touch()
    assert is_volume(tmp_path / "a.img")


def test_every_volume_of_a_folder_is_found_once(tmp_path):
    volume = SimpleITK.Image([4, 5, 6], SimpleITK.sitkInt16)
    (tmp_path / "in" / "sub" / ".hidden").mkdir(parents=True)
    for name in ("b.mhd", "a.nrrd", "sub/c.nhdr", "sub/a.nii.gz", "pair.img", "sub/.hidden/x.nii", ".y.nii"):
        SimpleITK.WriteImage(volume, tmp_path / "in" / name)
    (tmp_path / "in" / "dicom.img").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "elsewhere").mkdir()
    SimpleITK.WriteImage(volume, tmp_path / "elsewhere" / "linked.mha")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "sub" / "circle").symlink_to(tmp_path / "in")
    found = [path.relative_to(tmp_path / "in").as_posix() for path in find_volumes(tmp_path / "in")]
    assert found == ["a.nrrd", "b.mhd", "link/linked.mha", "pair.hdr", "sub/a.nii.gz", "sub/c.nhdr"]
    for path in find_volumes(tmp_path / "in"):
        assert read_volume(path).hu.shape == (6, 5, 4)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match="found nothing there"):
        read_volume(tmp_path / "absent.nii")


def test_formats_give_the_network_the_same(tmp_path):
    values = np.random.default_rng(0).integers(-1000, 1000, (6, 5, 4)).astype(np.int16)
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((1, 2, 3))
    volumes = []
    for name in ("a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.img"):
        SimpleITK.WriteImage(image, tmp_path / name)
        volumes.append(read_volume(tmp_path / name))
    for volume in volumes:
        np.testing.assert_array_equal(volume.hu, values)
        np.testing.assert_allclose(volume.plane_affine, volumes[0].plane_affine, atol=1e-6)


def test_libraries_are_loaded_when_they_are_needed():
    code = """
import sys
from pathlib import Path
import ctdenoise.io.volumes, ctdenoise.io.images
ctdenoise.io.volumes.find_volumes(Path('.'))
print(sorted({'torch', 'monai', 'nibabel', 'SimpleITK'} & set(sys.modules)))
"""
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
