from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from ctdenoise.evaluation.document import Evaluation
from ctdenoise.evaluation.evaluate import evaluate
from ctdenoise.evaluation.metrics import METRICS, Metric, default_measurements
from ctdenoise.evaluation.pairing import align
from ctdenoise.evaluation.physics_document import Insert
from ctdenoise.evaluation.protocols import Mask, Measurement
from ctdenoise.evaluation.report import write_report
from ctdenoise.evaluation.results import write_results
from ctdenoise.evaluation.stacks import open_stack
from ctdenoise.evaluation.windows import WINDOWS
from ctdenoise.noise.phantom import render, thorax
from tests.conftest import make_series

SLICES = 4


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    """A thorax with noise, blurred, and shifted by 5 HU."""
    folder = tmp_path_factory.mktemp("stacks")
    truth = np.stack([render(thorax(), z, size=256, pixel_mm=1.4) for z in range(SLICES)])
    noisy = truth + np.random.default_rng(0).normal(0, 30, truth.shape)
    arrays = {
        "reference": truth,
        "noisy": noisy,
        "blurred": np.stack([gaussian_filter(image, 2.0) for image in noisy]),
        "shifted": truth + 5 + 0.3 * (noisy - truth),
    }
    found = {}
    for name, array in arrays.items():

        def draw(image, index, array=array):
            image.Rows, image.Columns = array.shape[1:]
            image.PixelSpacing = [1.4, 1.4]
            image.RescaleIntercept = -1300  # so that noise in air is not clipped
            image.PixelData = np.rint(array[index] + 1300).astype(np.int16).tobytes()

        found[name] = open_stack(make_series(folder / name, slices=SLICES, edit=draw))
    return align(found)


@pytest.fixture(scope="module")
def document(stacks):
    return evaluate(stacks, default_measurements(["full", "soft-tissue"]), protocol="usual")


def entry(document, image, window, metric):
    return next(e for e in document.fidelity if (e.image, e.window, e.metric) == (image, window, metric))


def test_every_number_says_where_it_is_from(document):
    assert document.as_json()["schema"] == "ctdenoise-metrics/1"
    assert document.slices[1] == "2 at 2.5 mm"
    assert len(document.fidelity) == 3 * 2 * 7
    psnr = entry(document, "shifted", "soft-tissue", "psnr")
    assert (psnr.low, psnr.high, psnr.unit, psnr.slices) == (-160, 240, "dB", SLICES)
    assert "clipped to [-160, 240], data range 400, SSIM gaussian" in psnr.how
    assert psnr.mean == pytest.approx(np.mean(psnr.values))
    assert psnr.sd == pytest.approx(np.std(psnr.values, ddof=1))
    assert psnr.ci95[0] <= psnr.mean <= psnr.ci95[1]


def test_values_are_those_of_the_slices(document, stacks):
    images = stacks.read(2)
    difference = np.clip(images["noisy"], -160, 240) - np.clip(images["reference"], -160, 240)
    rmse = entry(document, "noisy", "soft-tissue", "rmse").values[2]
    assert rmse == pytest.approx(float(np.sqrt(np.mean(difference**2))), rel=1e-5)


def test_images_are_compared_pairwise(document):
    rows = [row for row in document.comparisons if row.window == "full" and row.metric == "rmse"]
    assert {(row.a, row.b) for row in rows} == {
        ("noisy", "blurred"),
        ("noisy", "shifted"),
        ("blurred", "shifted"),
    }
    row = next(row for row in rows if (row.a, row.b) == ("noisy", "shifted"))
    assert row.median_difference < -15
    assert row.p == pytest.approx(2 / 2**SLICES)  # the least that so few slices can give


def test_physics_finds_noise_resolution_bias_and_what_was_removed(document):
    physics = document.physics
    images = physics.images
    assert physics.measured_where == "reference"
    phantom = images["reference"].noise.std_hu  # its own structure
    assert np.hypot(30, phantom) == pytest.approx(images["noisy"].noise.std_hu, rel=0.05)
    assert np.hypot(9, phantom) == pytest.approx(images["shifted"].noise.std_hu, rel=0.05)
    assert images["blurred"].noise.mean_frequency < images["noisy"].noise.mean_frequency
    assert images["blurred"].ttf.ttf50 < 0.7 * images["noisy"].ttf.ttf50
    # A thorax as sharp as its pixels keeps contrast up to the Nyquist frequency, where nothing is measured.
    sharp, soft = images["reference"].ttf, images["blurred"].ttf
    assert (sharp.ttf10, sharp.ttf10_ci95) == (sharp.frequency[-1], None)
    assert soft.ttf10 < soft.frequency[-1]
    assert soft.ttf10_ci95 is not None
    assert images["shifted"].d_prime > 1.5 * images["noisy"].d_prime
    assert images["shifted"].tissues["soft tissue"].bias_hu == pytest.approx(5, abs=0.3)
    assert abs(images["noisy"].tissues["soft tissue"].bias_hu) < 0.5
    assert physics.residual["blurred"].structure > physics.residual["shifted"].structure + 0.1
    # What is left and what was removed are the noise that was there, as both are parts of it.
    removed = physics.residual["shifted"].noise.std_hu
    assert removed == pytest.approx(0.7 * 30, rel=0.05)
    assert any("shifted: mean HU of soft tissue differs by +5" in warning for warning in document.warnings)


def test_inserts_are_measured_where_they_are_said_to_be(stacks):
    document = evaluate(stacks, (), protocol="none", inserts=[Insert(row=128, column=128, radius_mm=10)])
    image = document.physics.images["reference"]
    assert image.ttf.at == "inserts"
    assert image.inserts[0].contrast_hu is not None


def test_results_are_json_a_table_and_a_page_that_needs_nothing(document, stacks, tmp_path):
    write_results(document, stacks, tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    assert Evaluation.model_validate_json((folder / "metrics.json").read_bytes()) == document
    with (folder / "metrics.csv").open() as file:
        lines = list(csv.DictReader(file))
    psnr = [
        float(row["value"])
        for row in lines
        if (row["image"], row["metric"], row["window"]) == ("noisy", "psnr", "full")
    ]
    assert psnr == pytest.approx(entry(document, "noisy", "full", "psnr").values)
    page = (folder / "report.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    assert "SECRET" not in page
    text = re.sub(r"data:[^\"]+", "", page)
    assert "NAME" not in text.replace("NAMED", "")
    for text in (
        "noise power spectrum",
        "task transfer function",
        "soft-tissue",
        "bias +5.0",
        "removed: blurred",
        "<svg",
    ):
        assert text in page, text
    assert page.count("data:image/png") >= SLICES * 6
    assert {path.name for path in folder.iterdir()} == {"metrics.json", "metrics.csv", "report.html"}


KEYS = {
    "": "schema version protocol mask images slices warnings fidelity comparisons physics command date software",
    "images.noisy": "kind slices description series scan origin",
    "images.noisy.scan": "manufacturer model kernel kvp mas thickness_mm pixel_mm field_mm simulated_dose",
    "fidelity.0": "image window low high how metric unit slices mean sd ci95 values",
    "comparisons.0": "a b window metric slices median_difference p",
    "physics": "slices regions arcs measured_where regions_found_in pixel_mm frequency_unit task inserts images "
    "residual noise_regions",
    "physics.task": "diameter_mm contrast_hu",
    "physics.images.noisy": "tissues noise d_prime ttf cnr_soft_tissue_fat inserts d_prime_ci95 cnr_ci95",
    "physics.images.noisy.tissues.lung": "pixels mean_hu sd_hu bias_hu bias_ci95",
    "physics.images.noisy.noise": "std_hu peak_frequency mean_frequency frequency nps nps_2d std_ci95 peak_ci95 "
    "mean_ci95",
    "physics.images.noisy.ttf": "at frequency ttf ttf50 ttf10 ttf50_ci95 ttf10_ci95",
    "physics.residual.blurred": "std edges structure noise",
}


@pytest.mark.parametrize("place", KEYS)
def test_metrics_json_has_the_keys_that_readers_rely_on(document, place):
    value = document.as_json()
    for key in place.split(".") if place else ():
        value = value[int(key)] if key.isdigit() else value[key]
    assert list(value) == KEYS[place].split()


def test_a_document_of_another_schema_or_with_unknown_fields_is_refused(document):
    for change in ({"schema": "ctdenoise-metrics/0"}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            Evaluation.model_validate({**document.as_json(), **change})


def test_the_report_names_the_lowest_psnr_once_and_separates_its_items(document, stacks, tmp_path):
    write_report(document, stacks, tmp_path / "report.html")
    text = re.sub(r"<[^>]+>", "", (tmp_path / "report.html").read_text())
    values = entry(document, "blurred", "soft-tissue", "psnr").values
    for rank, value in zip(("lowest", "second-lowest"), sorted(values), strict=False):
        assert text.count(f"({rank} PSNR of blurred, soft-tissue window: {value:.1f} dB)") == 1
    header = " ".join(text[text.index("ctdenoise 0") : text.index("not for diagnostic use")].split())
    assert header.endswith("shifted (dicom, 4 slices) ·")
    assert "protocol: usual · mask: none · 4 slices · reference (dicom, 4 slices) · noisy" in header


def test_adding_a_metric_is_adding_one_object(stacks, tmp_path, monkeypatch):
    largest = Metric("largest error", "HU", False, lambda pair: float(np.abs(pair.test - pair.reference).max()))
    monkeypatch.setitem(METRICS, largest.name, largest)
    document = evaluate(stacks, [Measurement(WINDOWS["full"], (largest.name,))], protocol="own")
    images = stacks.read(0)
    found = entry(document, "shifted", "full", "largest error")
    assert found.values[0] == pytest.approx(np.abs(images["shifted"] - images["reference"]).max(), abs=1e-3)
    assert found.unit == "HU"
    write_results(document, stacks, tmp_path)
    assert "LARGEST ERROR / HU" in (tmp_path / "report.html").read_text()


def test_without_a_reference_there_is_physics_alone(stacks):
    alone = align({"noisy": stacks.stacks["noisy"], "blurred": stacks.stacks["blurred"]})
    document = evaluate(alone, (), protocol="none")
    assert document.fidelity == ()
    assert document.physics.measured_where == "noisy"
    assert document.physics.residual["blurred"].std > 10


def test_what_cannot_be_measured_is_said(tmp_path):
    small = align({"noisy": open_stack(make_series(tmp_path / "small"))})
    document = evaluate(small, (), protocol="none")
    assert document.physics.images["noisy"].noise is None
    assert any("uniform regions" in warning for warning in document.warnings)
    assert any("no smooth piece of skin" in warning for warning in document.warnings)
    write_results(document, small, tmp_path / "out")


def test_equal_images_have_no_finite_psnr_and_json_stays_valid(stacks):
    same = align({"reference": stacks.stacks["reference"], "same": stacks.stacks["reference"]})
    document = evaluate(same, default_measurements(["lung"]), protocol="usual")
    assert entry(document, "same", "lung", "psnr").mean is None
    assert entry(document, "same", "lung", "ssim").mean == 1
    json.dumps(document.as_json(), allow_nan=False)


def test_fewer_slices_are_counted_and_said(stacks, tmp_path):
    part = make_series(tmp_path / "part", slices=2, size=(256, 256))
    document = evaluate(
        align({"reference": stacks.stacks["reference"], "part": open_stack(part)}),
        default_measurements(["full"]),
        protocol="usual",
    )
    assert entry(document, "part", "full", "psnr").slices == 2
    assert any("2 slices have no counterpart" in warning for warning in document.warnings)


def test_slow_metrics_are_of_some_slices_but_of_all_where_a_protocol_wants_them(stacks, monkeypatch):
    monkeypatch.setattr("ctdenoise.evaluation.evaluate.MOST_SLOW_SLICES", 2)
    rows = [Measurement(WINDOWS["full"], ("vif", "rmse"))]
    some, every = (evaluate(stacks, rows, protocol=protocol) for protocol in ("usual", "ldct-benchmark"))
    assert [value is not None for value in entry(some, "noisy", "full", "vif").values] == [True, False, False, True]
    assert entry(some, "noisy", "full", "vif").slices == 2
    assert entry(every, "noisy", "full", "vif").slices == entry(some, "noisy", "full", "rmse").slices == SLICES


def test_only_the_body_counts_behind_a_mask(stacks):
    everywhere, body = (
        entry(
            evaluate(stacks, default_measurements(["full"]), protocol="usual", mask=mask), "blurred", "full", "rmse"
        ).mean
        for mask in Mask
    )
    assert body > 1.1 * everywhere  # the air about it is easy


def test_a_series_has_the_same_noise_with_a_reference_and_without(document, stacks):
    alone = align({name: stacks.stacks[name] for name in ("noisy", "shifted")})
    physics = evaluate(alone, (), protocol="none").physics
    assert physics.regions_found_in == document.physics.regions_found_in == "noisy"
    for name in alone.stacks:
        assert physics.images[name].noise == document.physics.images[name].noise
