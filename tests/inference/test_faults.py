"""Faults during a run: files with their final name are whole, the manifest says what failed, a second run finishes."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence

from ctdenoise.errors import InputError
from ctdenoise.inference import Denoiser, RunOptions, denoise
from ctdenoise.inference.slice_pipeline import read_sample
from ctdenoise.inference.strength import sample_indices
from ctdenoise.io.dicom import discover, read_slice
from ctdenoise.io.dicom.deidentify import Deidentification
from tests.conftest import Edit, Halve, Messages, make_series, run_series


class Greedy(torch.nn.Module):
    """Runs out of memory with more slices at once than `most`."""

    def __init__(self, most: int = 2) -> None:
        super().__init__()
        self.most = most
        self.seen: list[int] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if len(image) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        self.seen.append(len(image))
        return image


def test_a_batch_that_does_not_fit_is_halved_and_the_run_goes_on(tmp_path):
    make_series(tmp_path / "in", slices=9)
    network = Greedy()
    result = run_series(Denoiser(network, batch_size=8), tmp_path / "in", tmp_path / "out")
    assert result.manifest.status == "complete"
    assert result.manifest.run["batch_size"] == 2
    assert set(network.seen) == {1, 2}


def test_a_slice_that_does_not_fit_at_all_is_refused_with_what_to_do(tmp_path):
    make_series(tmp_path / "in", slices=2)
    result = run_series(Denoiser(Greedy(0), batch_size=4), tmp_path / "in", tmp_path / "out")
    assert result.manifest.status == "incomplete"
    reasons = {entry.reason for entry in result.manifest.failed}
    assert reasons == {"not enough memory for a slice of 40×36; try --device cpu"}


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if not shutil.which("mount") or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", folder], check=False)
    if mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_costs_nothing_that_is_written_and_the_rest_follows(tmp_path, small_disk, halve):
    make_series(tmp_path / "in", slices=8, size=(128, 128))  # 33 kB each
    with pytest.raises(InputError, match=r"cannot be written.*free space"):
        run_series(halve, tmp_path / "in", small_disk / "out")
    written = list(small_disk.rglob("[0-9]*.dcm"))
    assert 0 < len(written) < 8
    for path in written:
        assert read_slice(path).hu.shape == (128, 128)
    times = {path: path.stat().st_mtime_ns for path in written}
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    result = run_series(halve, tmp_path / "in", small_disk / "out")
    assert result.manifest.status == "complete"
    assert len(discover(small_disk / "out").series[0].slices) == 8
    assert sum(path.stat().st_mtime_ns != when for path, when in times.items()) <= 1


def test_a_file_that_vanishes_during_the_run_is_refused_alone(tmp_path):
    make_series(tmp_path / "in", slices=12)

    class Vanish(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            (tmp_path / "in" / "IMG001").unlink(missing_ok=True)  # the last in slice order
            return image

    result = run_series(Denoiser(Vanish()), tmp_path / "in", tmp_path / "out")
    assert result.manifest.status == "incomplete"
    (failure,) = result.manifest.failed
    assert failure.file == "IMG001"
    assert "No such file" in failure.reason
    assert len(result.manifest.slices) == 11


def work(source: Path, output: Path) -> None:
    torch.set_num_threads(1)
    run_series(Denoiser(Halve()), source, output)


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_kills_at_random_moments_leave_whole_files_and_lose_nothing(kills, tmp_path):
    slices = max(40, kills)
    make_series(tmp_path / "in", slices=slices, size=(64, 64))
    context, rng = multiprocessing.get_context("fork"), random.Random(0)
    repeated, done = 0, {}
    for _ in range(kills):
        process = context.Process(target=work, args=(tmp_path / "in", tmp_path / "out"))
        process.start()
        time.sleep(rng.uniform(0.05, 0.4))
        process.kill()
        process.join()
        for path in (tmp_path / "out").rglob("[0-9]*.dcm"):
            when = path.stat().st_mtime_ns
            if done.get(path) != when:
                repeated += path in done
                assert read_slice(path).hu.shape == (64, 64)
            done[path] = when
    assert repeated <= kills  # at most the one each kill caught between its file and its record
    result = run_series(Denoiser(Halve()), tmp_path / "in", tmp_path / "out")
    assert len(result.manifest.slices) == slices
    expected = Denoiser(Halve())
    whole = run_series(expected, tmp_path / "in", tmp_path / "other")
    for record in whole.manifest.slices:
        one, other = (read_slice(folder / record.file) for folder in (result.folder, whole.folder))
        np.testing.assert_array_equal(one.stored, other.stored)
    assert not [path for path in result.folder.iterdir() if path.name.startswith(".")]


def test_results_of_another_model_or_option_are_kept_apart_and_named(tmp_path, identity, halve):
    make_series(tmp_path / "in", slices=2)
    first = run_series(identity, tmp_path / "in", tmp_path / "out")
    second = run_series(halve, tmp_path / "in", tmp_path / "out")
    third = run_series(halve, tmp_path / "in", tmp_path / "out", transfer_syntax="rle")
    assert first.manifest.beside == []
    assert second.manifest.beside == [first.folder.name]
    assert third.manifest.beside == sorted([first.folder.name, second.folder.name])


@pytest.mark.parametrize("deidentify", [False, True])
def test_random_uids_go_on_after_a_cut_and_leave_no_trace_of_their_source(deidentify, tmp_path):
    make_series(tmp_path / "in", slices=6)

    class Stop(torch.nn.Module):
        left = 3

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return image

    network = Stop()
    options = {"random_uids": True, "deidentification": Deidentification() if deidentify else None}
    with pytest.raises(KeyboardInterrupt):
        run_series(Denoiser(network), tmp_path / "in", tmp_path / "out", **options)
    network.left = 10
    result = run_series(Denoiser(network), tmp_path / "in", tmp_path / "out", **options)
    assert result.written < 6
    (series,) = discover(result.folder).series
    assert len(series.slices) == 6
    assert result.manifest.derived.salt is None
    again = run_series(Denoiser(network), tmp_path / "in", tmp_path / "out", **options)
    assert again.written == 0
    (result.folder / "0001.dcm").unlink()  # a new UID would not belong to the others, whose salt is forgotten
    with pytest.raises(InputError, match="expected the 6 slices of this series, found 5 with random UIDs"):
        run_series(Denoiser(network), tmp_path / "in", tmp_path / "out", **options)
    network.left = 10
    anew = run_series(Denoiser(network), tmp_path / "in", tmp_path / "out", overwrite=True, **options)
    assert anew.written == 6
    network.left = 10
    other = run_series(Denoiser(network), tmp_path / "in", tmp_path / "again", **options)
    assert other.manifest.derived.series_uid != result.manifest.derived.series_uid


#: In place of what a file of a patient holds.
NAME, IDENTIFIER = "PLANTED", "4711-0815"


def plant(image: Dataset, _: int) -> None:
    """Put a name and an identifier into elements that often hold them, and where nobody expects them."""
    image.PatientName = f"{NAME}^NAME"
    image.PatientID = image.AccessionNumber = image.StudyID = IDENTIFIER
    image.OperatorsName = image.InstitutionName = image.OtherPatientNames = NAME
    image.StudyDescription = f"{NAME} follow-up"
    image.SeriesDescription = f"Thorax {NAME}"
    image.ImageComments = f"for {NAME}"
    item = Dataset()
    item.PatientID, item.RequestedProcedureDescription = IDENTIFIER, NAME
    image.RequestAttributesSequence = Sequence([item])
    image.private_block(0x0009, f"{NAME} PRIVATE", create=True).add_new(1, "LO", NAME)


def leave_out(*keywords: str) -> Edit:
    def edit(image: Dataset, index: int) -> None:
        plant(image, index)
        for keyword in keywords:
            if keyword in image:
                del image[keyword]

    return edit


@pytest.mark.parametrize("deidentification", [None, Deidentification()], ids=["plain", "deidentified"])
def test_nothing_of_a_patient_is_in_manifests_messages_and_names(tmp_path, capsys, halve, deidentification):
    """With de-identification neither in images, nor are names of input files and folders anywhere."""
    folder = tmp_path / "in" / (NAME if deidentification else "a")
    make_series(folder, slices=3, edit=plant)
    make_series(tmp_path / "in" / "b", slices=1, edit=leave_out("RescaleSlope"))
    make_series(tmp_path / "in" / "c", slices=1, edit=leave_out("PixelData"))
    broken = (folder / "IMG001").read_bytes()
    (tmp_path / "in" / "cut").write_bytes(broken[: len(broken) // 2])
    (tmp_path / "in" / "odd").write_bytes(broken.replace(b"ImagePosition", b"x").replace(b"\\-", NAME.encode()[:2]))
    if deidentification:
        (tmp_path / "in" / f"{NAME}.txt").write_text("notes")
    output, messages = tmp_path / "out", Messages()
    options = RunOptions(strength=1, deidentification=deidentification)
    outcome = denoise(tmp_path / "in", output, model=halve, options=options, progress=messages)
    assert outcome.failed
    texts = [json.dumps([r.manifest.document() for r in outcome.results]), *messages.texts, *capsys.readouterr()]
    texts += [s.reason for s in outcome.skipped]
    texts += [str(path.relative_to(output)) for path in output.rglob("*")]
    for path in output.rglob("*"):
        if path.is_file() and (deidentification or path.suffix != ".dcm"):
            texts.append(path.read_bytes().decode("latin-1"))
    for text in texts:
        assert NAME not in text
        assert IDENTIFIER not in text


@pytest.mark.parametrize("keyword", ["PixelSpacing", "SliceThickness", "XRayTubeCurrent", "SeriesNumber"])
def test_text_where_a_number_should_be_refuses_that_file_alone(keyword, tmp_path, halve):
    source = make_series(tmp_path / "in", slices=3, edit=lambda d, _: setattr(d, "XRayTubeCurrent", 100))
    path = source / "IMG001"
    image = dcmread(path)
    del image[keyword]
    image.add_new(keyword, "LO", "SECRET")
    image.save_as(path)
    outcome = denoise(source, tmp_path / "out", model=halve, options=RunOptions(strength=0.5))
    assert outcome.failed
    assert [len(result.manifest.slices) for result in outcome.results] == [2]
    reasons = [s.reason for s in outcome.skipped] + [f.reason for r in outcome.results for f in r.manifest.failed]
    assert len(reasons) == 1
    assert "SECRET" not in reasons[0]


def test_a_slice_that_can_be_read_is_measured_where_none_of_the_sample_can(tmp_path):
    files = discover(make_series(tmp_path, slices=18)).series[0].slices
    for index in sample_indices(len(files)):
        files[index].path.write_bytes(files[index].path.read_bytes()[:-9])
    assert len(read_sample(files).images) == 1
