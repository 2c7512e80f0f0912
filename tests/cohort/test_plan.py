"""The plan: one line for each series, from headers only, in parallel, and again after it was cut off."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from ctdenoise.cohort.plan import PlannedOptions, read_plan, read_planned
from ctdenoise.cohort.planning import planned_model, write_plan
from ctdenoise.cohort.scan import Scan
from ctdenoise.errors import InputError
from tests.cli.test_startup import HEAVY, start
from tests.conftest import make_series, run_series


def lines(plan: Path) -> list[dict]:
    return [json.loads(line) for line in plan.read_text().splitlines()]


def test_a_plan_has_one_line_for_each_series(call, tmp_path, model):
    for name, slices in (("a", 2), ("b", 3)):
        make_series(tmp_path / "in" / name, slices=slices)
    (tmp_path / "in" / "a" / "notes.txt").write_text("hello")
    result = call("cohort", "plan", tmp_path / "in", "-o", tmp_path / "plan.jsonl", "--model", model, "--jobs", 1)
    assert result.returncode == 0
    assert "2 series, 5 slices" in result.stdout
    assert "notes.txt: not a DICOM file" in result.stderr
    planned = lines(tmp_path / "plan.jsonl")
    assert sorted(entry["slices"] for entry in planned) == [2, 3]
    for entry in planned:
        files = [Path(entry["root"], name) for name in entry["files"]]
        assert entry["bytes"] == sum(file.stat().st_size for file in files)
        assert (entry["rows"], entry["columns"]) == (40, 36)
        assert entry["options"]["strength"] is None
    assert "SECRET" not in (tmp_path / "plan.jsonl").read_text()
    assert [path.name for path in tmp_path.glob(".plan*")] == []


def test_planning_imports_neither_torch_nor_monai(tmp_path, model):
    make_series(tmp_path / "in", slices=1)
    arguments = ("cohort", "plan", tmp_path / "in", "-o", "plan.jsonl", "--model", model, "--jobs", "1")
    _, packages = start(*arguments, cwd=tmp_path)
    assert not packages & HEAVY


def plan_with(sources: list[Path], plan: Path, model: Path, processes: int = 1, **options) -> None:
    write_plan(sources, plan, model=planned_model(str(model)), options=PlannedOptions(**options), processes=processes)


def test_several_processes_make_the_same_plan(tmp_path, model):
    for name in "abcd":
        make_series(tmp_path / "in" / name, slices=40, size=(16, 16))
    plan_with([tmp_path / "in"], tmp_path / "one", model)
    plan_with([tmp_path / "in"], tmp_path / "two", model, processes=2)
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text()


def test_the_id_depends_on_images_model_and_options_and_not_on_names(tmp_path, model):
    source = make_series(tmp_path / "a")
    plan_with([source], tmp_path / "plan", model)
    source.rename(tmp_path / "b")
    plan_with([tmp_path / "b"], tmp_path / "moved", model)
    plan_with([tmp_path / "b"], tmp_path / "other", model, strength=0.5)
    first, moved, other = (lines(tmp_path / name)[0]["id"] for name in ("plan", "moved", "other"))
    assert first == moved != other


def test_a_scan_that_was_cut_off_goes_on_without_reading_the_same_files_again(tmp_path, model):
    for number in range(5):
        make_series(tmp_path / "in" / str(number), slices=30, size=(16, 16))

    def cut_off(files: int) -> None:
        raise KeyboardInterrupt

    options = {"model": planned_model(str(model)), "options": PlannedOptions(), "processes": 1}
    with pytest.raises(KeyboardInterrupt):
        write_plan([tmp_path / "in"], tmp_path / "plan", advance=cut_off, **options)
    assert not (tmp_path / "plan").exists()
    scanned = [json.loads(line) for line in (tmp_path / ".plan.scanned").read_text().splitlines()]
    assert 0 < len(scanned) < 150
    for entry in scanned:  # of the same size and time, but no DICOM files any more: nobody will notice
        path = Path(entry["path"])
        path.write_bytes(bytes(entry["size"]))
        os.utime(path, ns=(entry["modified"], entry["modified"]))
    write_plan([tmp_path / "in"], tmp_path / "plan", **options)
    assert [entry.slices for entry in read_plan(tmp_path / "plan")] == [30] * 5
    assert not (tmp_path / ".plan.scanned").exists()


def test_files_that_changed_or_went_since_a_scan_was_cut_off_are_noticed(tmp_path):
    source = make_series(tmp_path / "in", slices=3)
    Scan(tmp_path / "journal").add(source, processes=1)
    (source / "IMG001").write_bytes(b"no longer an image")
    (source / "IMG002").unlink()
    scan = Scan(tmp_path / "journal")
    scan.add(source, processes=1)
    (files,) = scan.series()
    assert [Path(file.path).name for _, file in files] == ["IMG003"]
    assert [entry.reason for entry in scan.skipped()] == ["not a DICOM file"]


def test_what_ctdenoise_denoised_is_not_planned(tmp_path, model, identity):
    make_series(tmp_path / "in" / "source", slices=2)
    result = run_series(identity, tmp_path / "in", tmp_path / "out")
    shutil.copytree(result.folder, tmp_path / "in" / "derived")
    planned = write_plan(
        [tmp_path / "in"], tmp_path / "plan", model=planned_model(str(model)), options=PlannedOptions(), processes=1
    )
    assert (planned.series, planned.slices) == (1, 2)
    assert ["denoised by ctdenoise already" in entry.reason for entry in planned.skipped if entry.count == 2] == [True]


def test_a_series_in_two_inputs_is_one_and_a_file_in_both_counts_once(tmp_path, model):
    source = make_series(tmp_path / "a", slices=4)
    (tmp_path / "b").mkdir()
    (source / "IMG004").rename(tmp_path / "b" / "IMG004")
    (tmp_path / "b" / "IMG001").write_bytes((source / "IMG001").read_bytes())
    plan_with([source, tmp_path / "b"], tmp_path / "plan", model)
    (entry,) = lines(tmp_path / "plan")
    assert entry["root"] == str(tmp_path)
    assert entry["files"] == ["a/IMG001", "a/IMG002", "a/IMG003", "b/IMG004"]


def test_what_cannot_be_planned_is_said(tmp_path, model):
    with pytest.raises(InputError, match="found nothing there"):
        plan_with([tmp_path / "absent"], tmp_path / "plan", model)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="expected a CT slice, found none among 1 files: not a DICOM file"):
        plan_with([tmp_path / "in"], tmp_path / "plan", model)
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(InputError, match="unpack it first"):
        plan_with([tmp_path / "study.zip"], tmp_path / "plan", model)
    with pytest.raises(InputError, match="expected a model for CT"):
        planned_model("natural-lite")


def test_a_file_that_looks_like_an_image_and_cannot_be_used_is_exit_code_1(call, tmp_path, model):
    source = make_series(tmp_path / "in")
    (source / "IMG001").write_bytes((source / "IMG001").read_bytes()[:-2900])  # without pixel data
    result = call("cohort", "plan", source, "-o", tmp_path / "plan", "--model", model, "--jobs", 1, "--deidentify")
    assert result.returncode == 1
    assert "1 series, 2 slices" in result.stdout
    assert "IMG001" not in result.stderr  # with --deidentify, names are not echoed
    assert len(result.stderr.splitlines()) == 1


def test_a_damaged_plan_is_refused(tmp_path):
    (tmp_path / "plan").write_text('{"schema": "ctdenoise-cohort-1"}\n')
    with pytest.raises(InputError, match="expected the plan of a cohort"):
        read_plan(tmp_path / "plan")
    (tmp_path / "plan").write_text("")
    with pytest.raises(InputError, match="found an empty file"):
        read_plan(tmp_path / "plan")
    with pytest.raises(InputError, match="No such file"):
        read_planned(tmp_path / "absent", 0)


@pytest.mark.slow
def test_a_hundred_thousand_files_need_little_memory(tmp_path, model):
    """Hard links to the files of one series: names and headers are read as of any others."""
    source = make_series(tmp_path / "one", slices=50, size=(4, 4))
    for number in range(2000):
        folder = tmp_path / "in" / str(number)
        folder.mkdir(parents=True)
        for file in source.iterdir():
            os.link(file, folder / file.name)
    tracemalloc.start()
    plan_with([tmp_path / "in"], tmp_path / "plan", model, processes=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read_plan(tmp_path / "plan")[0].slices == 50
    assert peak < 100e6  # of which the names that were seen take most
