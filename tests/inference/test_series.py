from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ctdenoise.errors import InputError
from ctdenoise.inference import Denoiser, RunOptions, denoise
from ctdenoise.inference.journal import Journal
from ctdenoise.io.dicom import discover, read_slice
from tests.conftest import Halve, contents, make_series, real_series, run_series


def test_one_derived_slice_for_each_source_slice_in_order(tmp_path, halve):
    make_series(tmp_path / "in", slices=5)
    before = contents(tmp_path / "in")
    result = run_series(halve, tmp_path / "in", tmp_path / "out")
    assert contents(tmp_path / "in") == before
    source = discover(tmp_path / "in").series[0].slices
    (derived,) = discover(tmp_path / "out").series
    assert [s.position for s in derived.slices] == [s.position for s in source]
    assert [s.path.name for s in derived.slices] == [f"{i:04d}.dcm" for i in range(1, 6)]
    for one, other in zip(source, derived.slices, strict=True):
        a, b = read_slice(one.path), read_slice(other.path)
        np.testing.assert_allclose(b.hu, (a.hu - 1024) / 2, atol=0.5)
        assert b.dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == one.uid
    assert result.written == 5


@pytest.mark.parametrize("name", real_series())
def test_an_identity_network_returns_real_series_bit_for_bit(data, tmp_path, identity, name):
    source = data / "ct" / name
    before = contents(source)
    result = run_series(identity, source, tmp_path / "out")
    assert contents(source) == before
    slices = {s.uid: s for s in discover(source).series[0].slices}
    assert len(result.manifest.slices) == len(slices)
    for record in result.manifest.slices:
        a = read_slice(slices[record.source_uid].path)
        b = read_slice(result.folder / record.file)
        np.testing.assert_array_equal(b.stored, a.stored)
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
            assert a.dataset.get(keyword) == b.dataset.get(keyword)


def test_manifest_says_what_happened(tmp_path, halve):
    make_series(tmp_path / "in")
    (tmp_path / "in" / "notes.txt").write_text("hello")
    result = run_series(halve, tmp_path / "in", tmp_path / "out", strength=0.5)
    manifest = json.loads((result.folder / "manifest.json").read_text())
    assert manifest == result.manifest.document()
    assert (manifest["status"], result.manifest.strength, manifest["failed"]) == ("complete", 0.5, [])
    assert manifest["operation"]["parameters"]["strength"] == 0.5
    assert manifest["skipped"] == [{"file": "notes.txt", "reason": "not a DICOM file"}]
    assert manifest["versions"].keys() >= {"ctdenoise", "torch", "monai", "pydicom"}
    assert manifest["seconds"] > 0
    for record in manifest["slices"]:
        derived = read_slice(result.folder / record["file"]).dataset
        assert derived.SOPInstanceUID == record["derived_uid"]
        assert derived.SeriesInstanceUID == manifest["derived"]["series_uid"]
    assert sorted(p.name for p in result.folder.iterdir()) == [
        "0001.dcm",
        "0002.dcm",
        "0003.dcm",
        "manifest.json",
    ]


def test_clipped_values_are_counted(tmp_path):
    class Raise(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image + 1

    make_series(tmp_path / "in", slices=1)
    result = run_series(Denoiser(Raise()), tmp_path / "in", tmp_path / "out")
    source = read_slice(tmp_path / "in" / "IMG001")
    assert result.manifest.clipped == source.stored.size


def test_a_broken_slice_is_refused_alone(tmp_path, identity):
    make_series(tmp_path / "in", slices=4)
    broken = tmp_path / "in" / "IMG002"
    broken.write_bytes(broken.read_bytes()[:-500])
    outcome = denoise(tmp_path / "in", tmp_path / "out", model=identity, options=RunOptions(strength=1))
    (result,) = outcome.results
    assert outcome.failed
    assert len(result.manifest.slices) == 3
    assert result.manifest.status == "incomplete"
    (failure,) = result.manifest.failed
    assert failure.file == "IMG002"
    assert failure.reason.startswith("PixelData (7FE0,0010)")


class FailsAt(Halve):
    def __init__(self, call: int) -> None:
        super().__init__()
        self.calls, self.call = 0, call

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls == self.call:
            raise KeyboardInterrupt
        return super().forward(image)


def test_an_interrupted_run_goes_on_without_repeating_and_ends_the_same(tmp_path):
    make_series(tmp_path / "in", slices=9)
    network = FailsAt(6)
    with pytest.raises(KeyboardInterrupt):
        run_series(Denoiser(network), tmp_path / "in", tmp_path / "out")
    (folder,) = (tmp_path / "out").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["status"] == "interrupted"
    there = len(manifest["slices"])
    assert there == 5
    result = run_series(Denoiser(network), tmp_path / "in", tmp_path / "out")
    assert result.written == 9 - there
    assert result.manifest.status == "complete"
    whole = run_series(Denoiser(network), tmp_path / "in", tmp_path / "other")
    assert [s.derived_uid for s in result.manifest.slices] == [s.derived_uid for s in whole.manifest.slices]
    for record in whole.manifest.slices:
        a, b = read_slice(folder / record.file), read_slice(whole.folder / record.file)
        np.testing.assert_array_equal(a.stored, b.stored)


def kill_after(folder: Path, records: int) -> None:
    """Leave a finished folder as SIGKILL would: a journal whose last line is cut, and a manifest that knows nothing."""
    manifest = json.loads((folder / "manifest.json").read_text())
    lines = [json.dumps(row) for row in manifest["slices"]]
    journal = "\n".join(lines[: records + 1])
    (folder / ".manifest.partial.jsonl").write_text(journal[:-20])
    (folder / "manifest.json").write_text(json.dumps({**manifest, "status": "running", "slices": []}))


def test_a_slice_counts_as_done_only_with_its_file_and_a_whole_journal_line(tmp_path, halve):
    make_series(tmp_path / "in", slices=5)
    result = run_series(halve, tmp_path / "in", tmp_path / "out")
    kill_after(result.folder, records=3)
    (result.folder / "0001.dcm").unlink()
    assert [r.file for r in Journal(result.folder).read()] == ["0002.dcm", "0003.dcm"]
    again = run_series(halve, tmp_path / "in", tmp_path / "out")
    assert again.written == 3
    assert again.manifest.status == "complete"
    assert len(again.manifest.slices) == 5


def test_only_what_failed_is_tried_again(tmp_path, halve):
    make_series(tmp_path / "in", slices=4)
    whole = (tmp_path / "in" / "IMG002").read_bytes()
    (tmp_path / "in" / "IMG002").write_bytes(whole[:-500])
    first = run_series(halve, tmp_path / "in", tmp_path / "out")
    assert (first.written, first.manifest.status) == (3, "incomplete")
    (tmp_path / "in" / "IMG002").write_bytes(whole)
    second = run_series(halve, tmp_path / "in", tmp_path / "out")
    assert (second.written, second.manifest.status) == (1, "complete")


def test_slices_that_came_later_are_denoised_too(tmp_path, halve):
    make_series(tmp_path / "in", slices=4)
    late = (tmp_path / "in" / "IMG004").rename(tmp_path / "late")
    run_series(halve, tmp_path / "in", tmp_path / "out")
    late.rename(tmp_path / "in" / "IMG004")
    result = run_series(halve, tmp_path / "in", tmp_path / "out")
    assert len(result.manifest.slices) == 4
    assert len(discover(tmp_path / "out").series[0].slices) == 4


def test_a_finished_run_does_nothing_until_told_to_overwrite(tmp_path, halve):
    make_series(tmp_path / "in")
    first = run_series(halve, tmp_path / "in", tmp_path / "out")
    before = {p.name: p.stat().st_mtime_ns for p in first.folder.iterdir()}
    again = run_series(halve, tmp_path / "in", tmp_path / "out")
    assert again.written == 0
    assert {p.name: p.stat().st_mtime_ns for p in first.folder.iterdir()} == before
    forced = run_series(halve, tmp_path / "in", tmp_path / "out", overwrite=True)
    assert forced.written == 3


def test_another_strength_is_another_series_in_a_folder_of_its_own(tmp_path, halve):
    make_series(tmp_path / "in")
    whole = run_series(halve, tmp_path / "in", tmp_path / "out")
    half = run_series(halve, tmp_path / "in", tmp_path / "out", strength=0.5)
    assert whole.folder != half.folder
    assert whole.manifest.derived != half.manifest.derived
    assert len(discover(tmp_path / "out").series) == 2


def test_another_network_is_another_series(tmp_path):
    make_series(tmp_path / "in", slices=1)
    folders = set()
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        layer = torch.nn.Conv2d(3, 1, 1)
        result = run_series(Denoiser(layer), tmp_path / "in", tmp_path / "out")
        folders.add(result.folder)
    assert len(folders) == 2


def test_one_series_of_several_can_be_chosen(tmp_path, identity):
    make_series(tmp_path / "in" / "a", slices=1)
    make_series(tmp_path / "in" / "b", slices=2, edit=lambda d, _: setattr(d, "SeriesNumber", 8))
    result = run_series(identity, tmp_path / "in", tmp_path / "out", series="8")
    assert result.manifest.source.slices == 2
    with pytest.raises(InputError, match="expected series 9, found "):
        run_series(identity, tmp_path / "in", tmp_path / "out", series="9")


def test_slices_of_different_sizes_share_a_series(tmp_path, identity):
    make_series(tmp_path / "in", slices=2, size=(20, 24))
    uid = discover(tmp_path / "in").series[0].uid
    make_series(tmp_path / "in" / "b", slices=2, size=(30, 18), edit=lambda d, _: setattr(d, "SeriesInstanceUID", uid))
    denoiser = Denoiser(torch.nn.Identity(), batch_size=3)
    result = run_series(denoiser, tmp_path / "in", tmp_path / "out")
    assert len(result.manifest.slices) == 4


def test_output_inside_input_is_refused_before_anything_is_written(tmp_path, identity):
    make_series(tmp_path / "in")
    before = contents(tmp_path)
    with pytest.raises(InputError, match="must not be inside the input"):
        run_series(identity, tmp_path / "in", tmp_path / "in" / "out")
    assert contents(tmp_path) == before


def test_an_output_that_cannot_be_written_is_an_error_with_its_name(tmp_path, identity):
    make_series(tmp_path / "in")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="cannot be written"):
        run_series(identity, tmp_path / "in", tmp_path / "file" / "out")


def test_no_name_of_a_patient_leaves_the_images(tmp_path, identity):
    make_series(tmp_path / "in", edit=lambda d, _: setattr(d, "SeriesDescription", "SECRET study"))
    result = run_series(identity, tmp_path / "in", tmp_path / "out")
    assert "SECRET" not in (result.folder / "manifest.json").read_text()
    assert "SECRET" not in str(result.folder.relative_to(tmp_path))
    shutil.rmtree(tmp_path / "in")


def test_what_ctdenoise_made_is_denoised_again_only_by_request(identity, tmp_path):
    """A study that comes back from an archive holds the derived series beside the source."""
    make_series(tmp_path / "study" / "source")
    first = run_series(identity, tmp_path / "study", tmp_path / "out")
    shutil.copytree(first.folder, tmp_path / "study" / "derived")
    again = denoise(tmp_path / "study", tmp_path / "out", model=identity, options=RunOptions(strength=1.0))
    assert [result.manifest.source.series_uid for result in again.results] == [first.manifest.source.series_uid]
    assert ["denoised by ctdenoise already" in skipped.reason for skipped in again.skipped] == [True]
    number = discover(first.folder).series[0].number
    assert f"--series {number} denoises them again" in again.skipped[0].reason
    asked = run_series(identity, tmp_path / "study", tmp_path / "twice", series=str(number))
    assert asked.manifest.source.series_uid == first.manifest.derived.series_uid
    with pytest.raises(InputError, match="denoised by ctdenoise already"):
        run_series(identity, tmp_path / "study" / "derived", tmp_path / "alone")
