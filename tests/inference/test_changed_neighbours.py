"""Runs that grow, are repaired or shrink end with the pixels of one undisturbed run of what there is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ctdenoise.inference import RunOptions, apply_operation
from ctdenoise.inference.manifest import Manifest, read_manifest
from ctdenoise.io.dicom import SliceFile, discover
from ctdenoise.io.dicom.deidentify import Deidentification
from tests.conftest import Messages, make_series
from tests.inference.test_slice_context import Interrupted, Weighted, assert_same, stored_by_source


def slices(source: Path) -> tuple[SliceFile, ...]:
    return discover(source).series[0].slices


def run(source: Path, output: Path, context: int = 1) -> tuple[Path, Manifest, int, list[str]]:
    """Return folder, manifest, slices written and messages."""
    messages = Messages()
    (result,) = apply_operation(Weighted(context), source, output, progress=messages).results
    return result.folder, result.manifest, result.written, messages.texts


def assert_as_undisturbed(folder: Path, source: Path, output: Path, context: int = 1) -> None:
    undisturbed, manifest, *_ = run(source, output, context)
    assert_same(stored_by_source(folder), stored_by_source(undisturbed))
    found = read_manifest(folder / "manifest.json")
    assert {s.source_uid: s.derived_uid for s in found.slices} == {s.source_uid: s.derived_uid for s in manifest.slices}
    assert {s.source_uid: s.neighbours_sha256 for s in found.slices} == {
        s.source_uid: s.neighbours_sha256 for s in manifest.slices
    }


def take_away(path: Path) -> Path:
    """Move a file out of its series."""
    hidden = path.parent.parent / path.name
    path.rename(hidden)
    return hidden


@pytest.mark.parametrize(("context", "written"), [(1, 3), (2, 5)])
def test_a_slice_that_is_added_has_its_neighbours_processed_again(context, written, tmp_path):
    source = make_series(tmp_path / "in", slices=8)
    path = slices(source)[4].path
    hidden = take_away(path)
    run(source, tmp_path / "out", context)
    hidden.rename(path)
    folder, manifest, count, messages = run(source, tmp_path / "out", context)
    assert count == written
    (message,) = [text for text in messages if "neighbours" in text]
    assert f"neighbours of {written - 1} slices were added, repaired or replaced: they are processed again" in message
    assert manifest.status == "complete"
    assert_as_undisturbed(folder, source, tmp_path / "whole", context)
    assert run(source, tmp_path / "out", context)[2] == 0


def test_without_context_a_slice_that_is_added_is_processed_alone(tmp_path):
    source = make_series(tmp_path / "in", slices=5)
    path = slices(source)[2].path
    hidden = take_away(path)
    run(source, tmp_path / "out", 0)
    hidden.rename(path)
    assert run(source, tmp_path / "out", 0)[2] == 1


def test_a_slice_that_is_repaired_has_its_neighbours_processed_again(tmp_path):
    source = make_series(tmp_path / "in", slices=6)
    path = slices(source)[2].path
    whole = path.read_bytes()
    path.write_bytes(whole[:-500])
    _, manifest, count, _ = run(source, tmp_path / "out")
    assert (manifest.status, count) == ("incomplete", 5)
    path.write_bytes(whole)
    folder, manifest, count, _ = run(source, tmp_path / "out")
    assert (manifest.status, count) == ("complete", 3)
    assert_as_undisturbed(folder, source, tmp_path / "whole")


def test_a_slice_that_is_replaced_has_its_neighbours_processed_again(tmp_path):
    source = make_series(tmp_path / "in", slices=6)
    run(source, tmp_path / "out")
    path = slices(source)[5].path
    content = bytearray(path.read_bytes())
    content[-2000] ^= 1
    path.write_bytes(content)
    folder, _, count, messages = run(source, tmp_path / "out")
    assert count == 2
    assert any("the source files of 1 slices changed" in text for text in messages)
    assert any("neighbours of 1 slices were added" in text for text in messages)
    assert_as_undisturbed(folder, source, tmp_path / "whole")


def test_a_slice_between_others_makes_them_no_neighbours_any_more(tmp_path):
    """Added slices halve the usual distance, so that the distance of two others is a gap now."""
    source = make_series(tmp_path / "in", slices=9)
    slices(source)[1].path.unlink()
    hidden = {file.path: take_away(file.path) for file in slices(source)[2:7:2]}
    _, manifest, *_ = run(source, tmp_path / "out")
    assert manifest.slices[0].neighbours_sha256[1]
    for path, elsewhere in hidden.items():
        elsewhere.rename(path)
    folder, manifest, *_ = run(source, tmp_path / "out")
    assert manifest.slices[0].neighbours_sha256 == ["", ""]
    assert_as_undisturbed(folder, source, tmp_path / "whole")


def test_slices_stay_that_had_neighbours_which_the_input_lacks_now(tmp_path):
    source = make_series(tmp_path / "in", slices=6)
    folder, *_ = run(source, tmp_path / "out")
    before = stored_by_source(folder)
    path = slices(source)[3].path
    hidden = take_away(path)
    _, _, count, messages = run(source, tmp_path / "out")
    assert count == 0
    assert any("1 slices of an earlier run are not in this input; their results stay" in text for text in messages)
    assert_same(stored_by_source(folder), before)
    hidden.rename(path)
    assert run(source, tmp_path / "out")[2] == 0


def test_an_interrupted_run_of_a_part_is_continued_with_the_whole(tmp_path):
    source = make_series(tmp_path / "in", slices=9)
    path = slices(source)[2].path
    hidden = take_away(path)
    with pytest.raises(KeyboardInterrupt):
        apply_operation(Interrupted(1), source, tmp_path / "out")
    hidden.rename(path)
    folder, *_ = run(source, tmp_path / "out")
    assert_as_undisturbed(folder, source, tmp_path / "whole")


def test_a_run_that_is_cut_off_while_it_processes_neighbours_again_is_continued(tmp_path):
    source = make_series(tmp_path / "in", slices=9)
    hidden = {file.path: take_away(file.path) for file in slices(source)[1:8:3]}
    run(source, tmp_path / "out")
    for path, elsewhere in hidden.items():
        elsewhere.rename(path)
    with pytest.raises(KeyboardInterrupt):
        apply_operation(Interrupted(1), source, tmp_path / "out")
    folder, *_ = run(source, tmp_path / "out")
    assert_as_undisturbed(folder, source, tmp_path / "whole")


def test_random_uids_lead_to_no_neighbour(tmp_path):
    source = make_series(tmp_path / "in", slices=4)
    options = RunOptions(deidentification=Deidentification(), random_uids=True)
    (result,) = apply_operation(Weighted(1), source, tmp_path / "out", options=options).results
    written = json.loads((result.folder / "manifest.json").read_text())
    assert [record["neighbours_sha256"] for record in written["slices"]] == [[]] * 4
