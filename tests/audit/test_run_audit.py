"""The audit and the residual of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner

from ctdenoise.audit.audited_strength import AuditedDenoisingRequest
from ctdenoise.audit.null import simulate_null
from ctdenoise.audit.recommendation import recommend
from ctdenoise.audit.residual import ResidualWriter
from ctdenoise.audit.run_audit import write_run_audit
from ctdenoise.audit.slice_audit import SeriesNoise
from ctdenoise.cli import app
from ctdenoise.errors import InputError
from ctdenoise.evaluation.run_report import write_run_report
from ctdenoise.inference import Denoiser, RunOptions, apply_operation, denoise
from ctdenoise.inference.manifest import read_manifest
from ctdenoise.inference.results import LoggedProgress
from ctdenoise.io.dicom import discover, read_slice


class Blur(torch.nn.Module):
    """A mean over 5 × 5 pixels, which takes anatomy away."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(image, 5, 1, 2, count_include_pad=False)


class Sharpen(torch.nn.Module):
    """Adds an unsharp mask."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image + 0.2 * (image - torch.nn.functional.avg_pool2d(image, 3, 1, 1, count_include_pad=False))


def test_the_verdict_is_in_the_manifest_and_the_residual_is_a_series(series, tmp_path):
    options = RunOptions(strength=1.0)
    residual = ResidualWriter(tmp_path / "out", options, LoggedProgress())

    def handle(result, source, path):
        return [*residual(result, source, path), *write_run_audit(result, source, path)]

    outcome = denoise(series, tmp_path / "out", model=Denoiser(Blur()), options=options, on_result=handle)
    (result,), (removed,) = outcome.results, residual.results
    assert not outcome.failed
    manifest = read_manifest(result.folder / "manifest.json")
    assert manifest.audit.verdict == "fail"
    assert any("Fine structures" in reason for reason in manifest.audit.reasons)
    audit = json.loads((result.folder / manifest.audit.file).read_text())
    assert audit["verdict"] == "fail"
    assert audit["recommendation"]["of"] == "strength"
    assert audit["recommendation"]["strength"] < 1

    for record, other in zip(manifest.slices, removed.manifest.slices, strict=True):
        source = next(
            one for one in map(read_slice, series.iterdir()) if one.dataset.SOPInstanceUID == record.source_uid
        )
        derived, difference = (read_slice(r.folder / f.file) for r, f in ((result, record), (removed, other)))
        assert np.array_equal(source.hu - derived.hu, difference.hu)
        assert difference.dataset.SeriesInstanceUID not in (
            source.dataset.SeriesInstanceUID,
            manifest.derived.series_uid,
        )
        assert difference.dataset.SOPInstanceUID != derived.dataset.SOPInstanceUID
        assert difference.dataset.SeriesDescription.endswith("removed noise, not for diagnostic use")
    with pytest.raises(InputError, match="the images are noise that ctdenoise removed"):
        denoise(removed.folder, tmp_path / "again", model=Denoiser(Blur()), options=options)


def test_a_second_run_keeps_audit_and_residual(series, tmp_path):
    arguments = ["run", series, "-o", tmp_path / "out", "--model", "ct-lowdose-lite", "--engine", "eager"]
    arguments += ["--strength", "0.5", "--audit", "--save-residual", "--json"]
    first = CliRunner().invoke(app, list(map(str, arguments)))
    assert first.exit_code == 0, first.output
    second = CliRunner().invoke(app, list(map(str, arguments)))
    assert second.exit_code == 0, second.output
    derived, residual = json.loads(second.stdout)["series"]
    assert (derived["written"], residual["written"]) == (0, 0)
    assert derived["audit"]["verdict"] == "pass"
    assert derived["audit"] == json.loads(first.stdout)["series"][0]["audit"]
    pages = {kind: Path(derived["folder"], f"{kind}.html") for kind in ("report", "audit")}
    pages["report"].touch()
    third = CliRunner().invoke(app, [*map(str, arguments[:-1]), "--report"])
    assert "there already, strength 0.5;" in third.stdout
    assert {f"{kind}: {page}" for kind, page in pages.items()} <= set(third.stdout.splitlines())


def test_the_recommended_strength_is_the_highest_that_passes(noisy, model):
    noise = SeriesNoise(model, simulate_null(model))
    slices = [(str(i), one, gaussian_filter(one, 0.9)) for i, one in enumerate(noisy[:1])]
    found = recommend(slices, noise)
    assert 0 < found.strength < 0.6
    assert found.sentence.startswith(f"Use at most strength {found.strength:g}: at ")
    # Of a result that was made with half the strength, twice as much is recommended.
    halves = [(label, source, (source + derived) / 2) for label, source, derived in slices]
    assert recommend(halves, noise, strength=0.5).strength == pytest.approx(found.strength)
    share = recommend(halves, noise, strength=None)
    assert share.of == "share"
    assert share.sentence.startswith(f"Blend at most {100 * share.strength:.0f} % of this result with its source: at ")


def test_a_result_that_passes_at_full_strength_is_told_so(noisy, model):
    noise = SeriesNoise(model, simulate_null(model))
    slices = [("1", noisy[0], noisy[0])]
    assert recommend(slices, noise, strength=None).sentence == "This result passes at its full strength."
    assert recommend(slices, noise).sentence == "It passes at every strength up to 1."
    assert recommend(slices, noise, passed=False).sentence.startswith("Less strength is no remedy")


def test_strength_audited_is_resolved_for_the_series(series, tmp_path):
    request = AuditedDenoisingRequest(Denoiser(Sharpen()))
    (result,) = apply_operation(request, series, tmp_path / "out").results
    assert result.manifest.request["operation"]["strength"] == "audited"
    assert 0 < result.manifest.strength < 1
    assert result.manifest.operation.measured["audited"]["strength"] == result.manifest.strength


def test_a_residual_needs_uids_that_can_be_matched(tmp_path):
    done = CliRunner().invoke(app, ["run", "x", "-o", str(tmp_path), "--save-residual", "--random-uids"])
    assert done.exit_code == 2
    assert "--save-residual: cannot be used with --random-uids" in " ".join(done.output.replace("│", " ").split())


@pytest.mark.slow
def test_a_phantom_of_a_result(series, tmp_path):
    (result,) = denoise(series, tmp_path / "out", model="ct-lowdose-lite", options=RunOptions(strength=0.5)).results
    arguments = ["audit", series, result.folder, "-o", tmp_path / "audit", "--phantom"]
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    phantom = json.loads((tmp_path / "audit" / "audit.json").read_text())["phantom"]
    assert (phantom["model"], phantom["strength"]) == ("ct-lowdose-lite", 0.5)
    assert phantom["dose"]["sentence"] in done.output.replace("\n", " ")
    assert phantom["dose"]["npw_derived"] == sorted(phantom["dose"]["npw_derived"], reverse=True)
    large = next(task for task in phantom["tasks"] if task["contrast_hu"] == 100 and task["diameter_mm"] == 10)
    assert large["contrast_recovery"]["uniform"]["value"] == pytest.approx(1, abs=0.05)
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert "Virtual phantom" in page
    assert phantom["dose"]["sentence"] in page


def test_a_report_says_what_an_audit_found_since_and_that_it_chose_the_strength(series, tmp_path):
    request = AuditedDenoisingRequest(Denoiser(Sharpen()))
    (result,) = apply_operation(request, series, tmp_path / "out", on_result=write_run_report).results
    report = result.folder / "report.html"
    assert "the highest whose audit passes, tried on 3 slices" in report.read_text()
    assert "audit.html" not in report.read_text()
    done, source = replace(result, written=0), discover(series).series[0]
    assert write_run_audit(done, source, series) == []
    assert write_run_report(done, source, series) == []
    assert read_manifest(result.folder / "manifest.json").audit.sentence in report.read_text()
    assert 'href="audit.html"' in report.read_text()
    report.write_text("kept")
    assert write_run_report(done, source, series) == []
    assert report.read_text() == "kept"


def test_what_no_audit_can_cope_with_is_one_line(series, tmp_path, monkeypatch):
    (result,) = denoise(series, tmp_path / "out", model=Denoiser(Blur()), options=RunOptions(strength=1.0)).results

    def fail(*arguments, **options):
        raise ZeroDivisionError

    monkeypatch.setattr("ctdenoise.audit.run_audit.audit_aligned", fail)
    (note,) = write_run_audit(result, discover(series).series[0], series)
    assert note.reason == "no audit: ZeroDivisionError while measuring"
    assert result.manifest.audit is None
