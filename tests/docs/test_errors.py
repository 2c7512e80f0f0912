"""Errors name the section of the documentation that explains them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from markdown.extensions.toc import slugify

from ctdenoise import cli
from ctdenoise.cli.process import needs_extra
from ctdenoise.errors import ERRORS_PAGE, Help, InputError
from ctdenoise.io.dicom import read_slice
from tests.conftest import REPOSITORY, make_series


@pytest.fixture
def said(monkeypatch, capsys):
    def call(*arguments: str | Path) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["ctdenoise", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 1
        return capsys.readouterr().err.splitlines()

    return call


def test_the_page_has_the_sections_that_errors_name_and_no_others():
    lines = (REPOSITORY / ERRORS_PAGE).read_text(encoding="utf-8").splitlines()
    sections = {slugify(line.removeprefix("## "), "-") for line in lines if line.startswith("## ")}
    assert sections == {topic.value for topic in Help}


def test_every_section_is_named_by_an_error():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "ctdenoise").rglob("*.py"))
    assert all(f"Help.{topic.name}" in code for topic in Help)


def test_an_error_of_another_path_keeps_all_the_rest():
    error = InputError("expected 1, found 2", path="a", tag="Rows (0028,0010)", hint="crop", see=Help.DAMAGED)
    other = error.at("b")
    assert str(other) == "b: Rows (0028,0010): expected 1, found 2; crop"
    assert other.see is Help.DAMAGED


def test_the_command_line_names_the_section(said, tmp_path):
    assert said("inspect", tmp_path / "none")[-1] == "See: docs/errors.md#nothing-there"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no image")
    assert said("run", tmp_path / "in", "-o", tmp_path / "out")[-1] == f"See: {Help.NO_CT.address}"
    assert said("models", "show", "ct-best")[-1] == f"See: {Help.NO_MODEL.address}"


def test_files_that_failed_are_explained(said, tmp_path):
    folder = make_series(tmp_path / "in")
    first = sorted(path for path in folder.rglob("*") if path.is_file())[0]
    first.write_bytes(first.read_bytes()[:-2000])
    lines = said("run", folder, "-o", tmp_path / "out", "--model", "ct-lowdose-lite", "--strength", "0.5")
    assert f"See: {Help.FAILED_FILES.address}" in lines


def test_an_output_that_cannot_be_written_is_explained(said, tmp_path):
    folder = make_series(tmp_path / "in")
    (tmp_path / "file").write_text("in the way")
    lines = said("run", folder, "-o", tmp_path / "file" / "out", "--model", "ct-lowdose-lite")
    assert lines[-1] == f"See: {Help.CANNOT_WRITE.address}"


def test_errors_of_files_and_packages_carry_their_section(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"no DICOM at all")
    with pytest.raises(InputError) as text:
        read_slice(tmp_path / "a.dcm")
    assert text.value.see is Help.NOT_DICOM
    path = sorted(path for path in make_series(tmp_path / "in").rglob("*") if path.is_file())[0]
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError) as cut:
        read_slice(path)
    assert cut.value.see is Help.CANNOT_DECODE
    with pytest.raises(InputError) as missing, needs_extra("node"):
        raise ModuleNotFoundError(name="pynetdicom")
    assert missing.value.see is Help.MISSING_PACKAGE
