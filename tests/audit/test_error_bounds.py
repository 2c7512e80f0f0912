"""Bounds on the error of a denoised series: their calibration, and the files they are written to."""

from __future__ import annotations

import hashlib
import json
import shutil

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner

from ctdenoise.audit.error_bounds import TISSUES, Coverage, Simulated, calibrate, simulate, tissue_of
from ctdenoise.audit.run_error import ErrorWriter
from ctdenoise.audit.windows import middle
from ctdenoise.cli import app
from ctdenoise.inference import Denoiser, RunOptions, denoise
from ctdenoise.inference.manifest import read_manifest
from ctdenoise.inference.results import LoggedProgress
from ctdenoise.noise.lowdose import KERNELS, Scan
from tests.audit.conftest import PIXEL_MM, texture, write_series


class Smooth(torch.nn.Module):
    """A mean over 3 × 3 pixels."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(image, 3, 1, 1, count_include_pad=False)


def made_up(model, seed, *, size=256, error=1.0):
    """Return images whose error is `error` times the local noise where HU are soft tissue, twice that in bone."""
    rng = np.random.default_rng(seed)
    anatomy = np.where(np.arange(size)[None] < size // 2, 50.0, 600.0) + np.zeros((size, 1))
    source = (anatomy + 10 * rng.standard_normal((size, size))).astype(np.float32)
    local = model.local_std(source)
    scale = np.where(anatomy < 200, error, 2 * error)
    truth = (anatomy + scale * local * rng.standard_normal((size, size))).astype(np.float32)
    denoised = anatomy.astype(np.float32)
    return Simulated(source, denoised, [truth], denoised)


def test_bounds_hold_as_often_as_asked_for_in_each_tissue(model):
    bounds = calibrate([made_up(model, 0)], model, 0.9)
    fresh = made_up(model, 1)
    coverage = Coverage()
    coverage.add(bounds.bound(fresh.source, fresh.denoised), fresh.denoised, fresh.full_dose[0])
    assert coverage.shares().keys() == {"soft tissue", "bone"}
    assert list(coverage.shares().values()) == pytest.approx([0.9, 0.9], abs=0.01)
    # 1.645 standard deviations of a normal distribution hold 90 %.
    assert np.mean(bounds.factors["soft tissue"]) == pytest.approx(1.645, rel=0.04)
    assert np.mean(bounds.factors["bone"]) == pytest.approx(2 * 1.645, rel=0.04)
    # There was no lung: the factor of all pixels.
    assert bounds.factors["lung"] == bounds.factors["air"]


def test_larger_errors_are_not_covered(model):
    bounds = calibrate([made_up(model, 0)], model, 0.9)
    worse = made_up(model, 2, error=1.5)
    coverage = Coverage()
    coverage.add(bounds.bound(worse.source, worse.denoised), worse.denoised, worse.full_dose[0])
    assert max(coverage.shares().values()) < 0.8


def test_simulated_images_have_the_noise_of_their_doses():
    scan = Scan(photons=3e5, kernel=KERNELS["smooth"], electronic=0)

    source = np.full((184, 184), -1024, np.float32)
    source[20:-20, 20:-20] = body()
    one = simulate(
        *(source[None], source[None], middle), scan=scan, doses=(0.25, 0.5), pixel_mm=PIXEL_MM, correlation=0, seed=1
    )
    inside = np.s_[80:105, 70:115]
    low = (one.denoised - source)[inside]
    for dose, image in zip((0.25, 0.5), one.full_dose, strict=True):
        full = (image - source)[inside]
        assert full.std() / low.std() == pytest.approx(dose**0.5, rel=0.15)
        # Full-dose noise is part of the low-dose noise: the rest of it is independent.
        assert abs(np.corrcoef((low - full).ravel(), full.ravel())[0, 1]) < 0.15
    # Nothing is added to padding.
    assert np.array_equal(one.denoised[:15], source[:15])


def test_tissue_is_told_by_hu():
    image = np.repeat(np.float32([-1000, -800, -80, 50, 400]), 20)[None].repeat(40, 0)
    assert [TISSUES[i] for i in tissue_of(image)[20, 10::20]] == ["air", "lung", "soft tissue", "soft tissue", "bone"]


def body(size=144):
    """Return a disc of soft tissue with bone and lung in it; small, as noise is simulated in it."""
    rows, columns = np.mgrid[:size, :size] - size / 2
    image = np.full((size, size), -1000.0)
    image[np.hypot(rows, columns) < 66] = 50.0
    image[np.hypot(rows - 40, columns) < 14] = 500.0
    image[np.hypot(rows + 40, columns) < 18] = -850.0
    return gaussian_filter(image, 0.9).astype(np.float32)


@pytest.fixture(scope="module")
def small():
    """Return three noisy slices."""
    rng = np.random.default_rng(7)
    return [body() + 15 * texture(144, rng) for _ in range(3)]


@pytest.fixture(scope="module")
def result(tmp_path_factory, small):
    """Return source folder and result of a run with error bounds."""
    folder = tmp_path_factory.mktemp("run")
    write_series(folder / "in", small)
    denoiser = Denoiser(Smooth())
    outcome = denoise(
        folder / "in",
        folder / "out",
        model=denoiser,
        options=RunOptions(strength=0.8),
        on_result=ErrorWriter(denoiser, LoggedProgress()),
    )
    assert not outcome.skipped
    return folder / "in", outcome.results[0]


def test_the_map_refers_to_the_derived_series_and_has_the_manifests_numbers(result):
    _, result = result
    manifest = read_manifest(result.folder / "manifest.json")
    entry = manifest.error_bounds
    written = pydicom.dcmread(result.folder / entry.file)
    values = written.pixel_array
    assert written.SOPClassUID == "1.2.840.10008.5.1.4.1.1.30"
    assert written.SOPInstanceUID == entry.uid
    assert values.dtype == np.float32
    assert "not for diagnostic use" in written.SeriesDescription
    mapping = written.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "[hnsf'U]"
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    derived = {record.derived_uid: pydicom.dcmread(result.folder / record.file) for record in manifest.slices}
    sums = {name: [0.0, 0] for name in TISSUES}
    for frame, groups in zip(values, written.PerFrameFunctionalGroupsSequence, strict=True):
        uid = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        image = derived.pop(uid)
        assert list(groups.PlanePositionSequence[0].ImagePositionPatient) == list(image.ImagePositionPatient)
        assert written.StudyInstanceUID == image.StudyInstanceUID
        assert written.SeriesInstanceUID != image.SeriesInstanceUID
        hu = image.pixel_array * image.RescaleSlope + image.RescaleIntercept
        tissue = tissue_of(hu.astype(np.float32))
        for index, name in enumerate(TISSUES):
            chosen = (tissue == index) & (frame > 0)
            sums[name][0] += float(frame[chosen].sum())
            sums[name][1] += int(chosen.sum())
    assert not derived
    for name, found in entry.tissues.items():
        assert found.pixels == sums[name][1]
        assert found.mean_hu == pytest.approx(sums[name][0] / sums[name][1], abs=1e-3)
        assert len(found.factors) == len(found.noise_limits_hu) + 1
    assert entry.tissues["soft tissue"].coverage == pytest.approx(0.9, abs=0.03)
    assert f"{entry.tissues['soft tissue'].coverage:.1%}" in entry.sentence


def test_bounds_are_made_once_and_are_the_same_when_made_again(result, tmp_path):
    source, result = result
    denoiser, options = Denoiser(Smooth()), RunOptions(strength=0.8)
    shutil.copytree(result.folder, tmp_path / "out" / result.folder.name)
    writer = ErrorWriter(denoiser, LoggedProgress())
    (again,) = denoise(source, tmp_path / "out", model=denoiser, options=options, on_result=writer).results
    path = again.folder / "error-bounds.dcm"
    before = path.stat().st_mtime_ns
    assert again.written == 0
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    (again,) = denoise(source, tmp_path / "out", model=denoiser, options=options, on_result=writer).results
    assert path.stat().st_mtime_ns > before
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


def test_a_volume_gets_nifti(small, tmp_path):
    affine = np.diag([-PIXEL_MM, -PIXEL_MM, 2.5, 1.0])
    values = np.stack(small).T.round().astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "scan.nii.gz")
    arguments = ["run", tmp_path / "scan.nii.gz", "-o", tmp_path / "out", "--model", "ct-lowdose-lite"]
    arguments += ["--engine", "eager", "--strength", "0.5", "--save-error", "--json"]
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    entry = json.loads(done.stdout)["series"][0]["error_bounds"]
    written = nibabel.load(tmp_path / "out" / entry["file"])
    assert written.shape == values.shape
    assert written.get_data_dtype() == np.float32
    assert np.allclose(written.affine, affine)
    bounds = written.get_fdata()
    tissues = entry["tissues"].values()
    assert np.count_nonzero(bounds) == sum(tissue["pixels"] for tissue in tissues)
    assert bounds.sum() == pytest.approx(sum(tissue["mean_hu"] * tissue["pixels"] for tissue in tissues), rel=1e-3)


def test_without_soft_tissue_there_are_no_bounds_and_the_run_says_so(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.full((64, 64, 3), 1000, np.int16), np.eye(4)), tmp_path / "bone.nii.gz")
    arguments = ["run", tmp_path / "bone.nii.gz", "-o", tmp_path / "out", "--model", "ct-lowdose-lite"]
    arguments += ["--engine", "eager", "--strength", "0.5", "--save-error"]
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 1
    assert (
        "no error bounds: expected at least 6 uniform regions of soft tissue to measure noise in, found 0"
        in " ".join(done.output.split())
    )
    assert "--photons" not in done.output
    assert (tmp_path / "out" / "bone.nii.gz").exists()
