from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ctdenoise.files import atomic_path, write_whole


@pytest.fixture(params=[0o022, 0o077, 0o002])
def umask(request) -> int:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_get_the_permissions_of_the_umask_whatever_writes_them(tmp_path, umask):
    write_whole(tmp_path / "text", "ü")
    with atomic_path(tmp_path / "weights.safetensors") as partial:
        save_file({"weight": torch.zeros(2)}, partial)
    assert mode(tmp_path / "text") == mode(tmp_path / "weights.safetensors") == 0o666 & ~umask
    assert (tmp_path / "text").read_bytes() == "ü".encode()


def test_the_file_has_its_name_only_when_it_is_complete(tmp_path):
    target = tmp_path / "scan.nii.gz"
    with atomic_path(target) as partial:
        partial.write_bytes(b"new")
        assert not target.exists()
        assert partial.parent == tmp_path
        assert partial.name.startswith(".partial-")
        assert partial.name.endswith("-scan.nii.gz")
    assert [p.name for p in tmp_path.iterdir()] == ["scan.nii.gz"]
    assert target.read_bytes() == b"new"


def test_an_error_leaves_the_earlier_file_and_nothing_else(tmp_path):
    write_whole(tmp_path / "a", b"earlier")

    def cut_off() -> None:
        with atomic_path(tmp_path / "a") as partial:
            partial.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"earlier"


def test_writers_of_one_file_do_not_share_a_temporary_name(tmp_path):
    target = tmp_path / "manifest.json"
    contents = [bytes([65 + n]) * 200_000 for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write_whole(target, content), contents * 4))
    assert target.read_bytes() in contents
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.json"]


def test_the_longest_names_that_file_systems_take_can_be_written(tmp_path):
    for name in ("x" * 251 + ".nii", "語" * 83 + ".nii"):
        write_whole(tmp_path / name, b"")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_is_not_there_is_an_error_with_its_number(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "absent" / "file", b"")
