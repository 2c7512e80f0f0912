from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import SimpleITK
from PIL import Image

from ctdenoise.evaluation.run_report import REPORT, write_run_report
from ctdenoise.inference import Denoiser, RunOptions, denoise
from ctdenoise.io.dicom.deidentify import Deidentification
from tests.conftest import Halve, make_series, run_series

REQUEST = RunOptions(strength=0.1)


def report(source: Path, output: Path, denoiser: Denoiser) -> None:
    denoise(source, output, model=denoiser, options=REQUEST, on_result=write_run_report)


def test_a_report_lies_beside_the_series_and_says_no_name(tmp_path, halve):
    make_series(tmp_path / "in")
    outcome = denoise(tmp_path / "in", tmp_path / "out", model=halve, options=REQUEST, on_result=write_run_report)
    page = (outcome.results[0].folder / REPORT).read_text()
    assert "removed: denoised" in page
    assert "lung" in page
    assert "SECRET" not in page
    assert "ctdenoise run INPUT -o OUTPUT --model" in page
    assert str(tmp_path) not in page
    assert not outcome.failed


def test_it_is_written_afterwards_if_it_was_not_asked_for_at_first(tmp_path, halve):
    make_series(tmp_path / "in")
    result = run_series(halve, tmp_path / "in", tmp_path / "out", strength=0.1)
    assert not (result.folder / REPORT).exists()
    denoise(tmp_path / "in", tmp_path / "out", model=halve, options=REQUEST, on_result=write_run_report)
    assert (result.folder / REPORT).exists()
    (result.folder / REPORT).write_text("kept")
    denoise(tmp_path / "in", tmp_path / "out", model=halve, options=REQUEST, on_result=write_run_report)
    assert (result.folder / REPORT).read_text() == "kept"


def test_an_archive_and_another_identity_do_no_harm(tmp_path, halve):
    shutil.make_archive(str(tmp_path / "in"), "zip", make_series(tmp_path / "in"))
    options = RunOptions(strength=0.1, deidentification=Deidentification(), random_uids=True)
    outcome = denoise(tmp_path / "in.zip", tmp_path / "out", model=halve, options=options, on_result=write_run_report)
    assert (outcome.results[0].folder / REPORT).exists()


def test_where_slices_cannot_be_paired_the_reason_is_told_and_the_series_is_whole(tmp_path, halve):
    def same_place(image, index):
        image.ImagePositionPatient = [0, 0, 0]

    make_series(tmp_path / "in", edit=same_place)
    options = RunOptions(strength=0.1, random_uids=True, deidentification=Deidentification())
    outcome = denoise(tmp_path / "in", tmp_path / "out", model=halve, options=options, on_result=write_run_report)
    assert outcome.results[0].manifest.status == "complete"
    assert "several at the same position" in outcome.skipped[0].reason
    assert not outcome.failed


def test_volumes_and_photographs_have_theirs(tmp_path):
    values = np.random.default_rng(0).normal(0, 20, (3, 48, 48)).astype(np.int16)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), tmp_path / "a.nii.gz")
    report(tmp_path / "a.nii.gz", tmp_path / "out", Denoiser(Halve()))
    assert "removed: denoised" in (tmp_path / "out" / "a.nii.gz.report.html").read_text()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "b.png")
    report(tmp_path / "b.png", tmp_path / "out", Denoiser(Halve(), hu_range=None))
    assert "removed: denoised" in (tmp_path / "out" / "b.png.report.html").read_text()
