from __future__ import annotations

import zipfile

import pytest

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import discover
from ctdenoise.io.dicom.archive import opened
from tests.conftest import make_series


def test_an_archive_is_a_folder_while_it_is_open(tmp_path):
    make_series(tmp_path / "in", slices=3)
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in (tmp_path / "in").iterdir():
            archive.write(path, f"DOE^JANE/{path.name}")
        archive.writestr("notes\x1b[31m.txt", b"x")
    with opened(tmp_path / "study.zip") as tree:
        found = discover(tree)
        (series,) = found.series
        names = {file.name for file in series.slices}
        assert names == {f"study.zip!/DOE^JANE/IMG00{n}" for n in (1, 2, 3)}
        assert [s.name for s in found.skipped] == ["study.zip!/notes\N{REPLACEMENT CHARACTER}[31m.txt"]
        assert tree.name(series.slices[0].path) == series.slices[0].name
        assert not any("DOE" in str(path) for path in tree.root.rglob("*"))
    assert not tree.root.exists()


def test_other_paths_are_left_as_they_are_and_named_within_the_tree(tmp_path):
    make_series(tmp_path / "deep", slices=1)
    with opened(tmp_path) as tree:
        assert tree.root == tmp_path
        assert [file.name for file in discover(tree).series[0].slices] == ["deep/IMG001"]
    with opened(tmp_path / "deep" / "IMG001") as tree:
        assert [file.name for file in discover(tree).series[0].slices] == ["IMG001"]


def test_names_lead_nowhere(tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        for name in ("../../escaped", "/tmp/ctdenoise-escaped", "C:\\\\escaped"):
            archive.writestr(name, b"x")
    with opened(tmp_path / "evil.zip") as tree:
        assert sorted(p.name for p in tree.root.rglob("*")) == ["000000", "000001", "000002"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evil.zip"]


def test_bombs_and_damaged_archives_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * 2**26)
    with pytest.raises(InputError, match="found 64 MiB from 0"), opened(tmp_path / "bomb.zip"):
        pass
    content = bytearray((tmp_path / "bomb.zip").read_bytes())
    with zipfile.ZipFile(tmp_path / "small.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("file", bytes(range(256)) * 64)
    content = bytearray((tmp_path / "small.zip").read_bytes())
    content[60:90] = b"\xff" * 30
    (tmp_path / "small.zip").write_bytes(content)
    with pytest.raises(InputError, match="expected a zip archive"), opened(tmp_path / "small.zip"):
        pass
