"""What a report says beside its measurements: origin, methods, controls, digits, files."""

from __future__ import annotations

import base64
import csv
import io
import re

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ctdenoise.evaluation.controls import with_controls
from ctdenoise.evaluation.evaluate import evaluate
from ctdenoise.evaluation.pairing import align
from ctdenoise.evaluation.protocols import Measurement
from ctdenoise.evaluation.report import write_report
from ctdenoise.evaluation.report_numbers import Quantity
from ctdenoise.evaluation.stacks import open_stack
from ctdenoise.evaluation.windows import WINDOWS
from tests.conftest import make_series

SLICES, SIZE = 6, 160
HEADER = {
    "Manufacturer": "GE MEDICAL SYSTEMS",
    "ManufacturerModelName": "LightSpeed16",
    "ConvolutionKernel": "STANDARD",
}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """An evaluation of a cylinder with noise, and of the same with half of the noise."""
    folder = tmp_path_factory.mktemp("report")
    rows, columns = np.indices((SIZE, SIZE)) - SIZE / 2
    truth = np.where(np.hypot(rows, columns) < 70, 40.0, -1000.0)[None].repeat(SLICES, axis=0)
    noise = gaussian_filter(np.random.default_rng(0).normal(0, 60, truth.shape), (0, 0.7, 0.7))
    stacks = {}
    for name, array in {"reference": truth, "noisy": truth + noise, "denoised": truth + noise / 2}.items():

        def draw(image, index, array=array):
            image.Rows, image.Columns = array.shape[1:]
            image.PixelSpacing = [1.0, 1.0]
            image.RescaleIntercept = -1300
            image.KVP, image.Exposure, image.StationName = "120", str(30 + index), "SECRETROOM"
            image.PixelData = np.rint(array[index] + 1300).astype(np.int16).tobytes()
            for keyword, value in HEADER.items():
                setattr(image, keyword, value)

        stacks[name] = open_stack(make_series(folder / name, slices=SLICES, edit=draw))
    aligned = with_controls(align(stacks))
    measurements = [Measurement(WINDOWS["soft-tissue"], ("psnr",))]
    document = evaluate(aligned, measurements, protocol="usual", command="ctdenoise evaluate --test IMAGES")
    write_report(document, aligned, folder / "report.html")
    return document, (folder / "report.html").read_text()


def files(text: str) -> dict[str, str]:
    """Return the files that the page offers, by name."""
    links = re.findall(r'download="([^"]+)" href="data:[^,]+,([^"]+)"', text)
    return {name: base64.b64decode(content).decode() for name, content in links}


def test_controls_leave_as_much_noise_as_the_denoised_image(page):
    document, _ = page
    noise = {name: image.noise.std_hu for name, image in document.physics.images.items()}
    assert list(noise) == ["reference", "noisy", "denoised", "Gaussian blur", "non-local means"]
    assert noise["denoised"] == pytest.approx(noise["noisy"] / 2, rel=0.02)
    for control in ("Gaussian blur", "non-local means"):
        assert noise[control] == pytest.approx(noise["denoised"], rel=0.05)
        assert document.images[control].kind == "control"
        assert document.images[control].description in page[1]


def test_the_page_says_where_images_are_from_and_nothing_about_the_patient(page):
    document, text = page
    scan = "GE MEDICAL SYSTEMS LightSpeed16, kernel STANDARD, 120 kVp, 30 to 35 mAs"
    assert scan in text
    assert "SECRET" not in text
    for image in list(document.images.values())[:3]:
        assert re.fullmatch("[0-9a-f]{12}", image.series)
        assert image.series in text
    assert document.date in text
    assert "scikit-image" in text
    assert "ctdenoise evaluate --test IMAGES" in text


def test_methods_cite_what_they_use(page):
    text = page[1]
    assert "AAPM Task Group 233" in text
    assert "ICRU Report 87" in text
    cited = {int(one) for group in re.findall(r"\[(\d+(?:, \d+)*)\]", text) for one in group.split(", ")}
    assert cited == set(range(1, max(cited) + 1))


def test_tables_and_curves_can_be_downloaded(page):
    document, text = page
    found = files(text)
    rows = list(csv.DictReader(io.StringIO(found["physics.csv"])))
    assert float(rows[1]["noise σ / HU"]) == document.physics.images["noisy"].noise.std_hu
    assert float(rows[1]["noise σ / HU low"]) < float(rows[1]["noise σ / HU"]) < float(rows[1]["noise σ / HU high"])
    curve = list(csv.reader(io.StringIO(found["noise power spectrum.csv"])))
    assert [float(line[2]) for line in curve[1:]] == list(document.physics.images["noisy"].noise.nps)
    assert {"metrics.csv", "HU bias.csv", "noise power spectrum.svg"} <= set(found)
    for name, content in found.items():
        assert content.startswith("<svg") == name.endswith(".svg")


def test_pictures_show_where_the_crop_and_the_regions_are_and_how_long_10_mm_is(page):
    text = page[1]
    assert text.count('class="crop"') >= text.count(">50 mm<") > 0
    assert 'class="region"' in text
    assert "10 mm" in text
    assert "error: denoised, ±" in text


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        (Quantity(44.567, (43.1, 46.3)), ("44.6", "43.1 … 46.3")),
        (Quantity(44.567, (36, 53)), ("45", "36 … 53")),
        (Quantity(0.24444, (0.2431, 0.2457)), ("0.2444", "0.2431 … 0.2457")),
        (Quantity(-2.5, (-2.62, -2.38), signed=True), ("−2.50", "−2.62 … −2.38")),
        (Quantity(1234.5), ("1234", "")),
        (Quantity(None), ("–", "")),
        (Quantity(0.77273, at_least=True), ("≥ 0.773 (pixel limit)", "")),
    ],
)
def test_values_have_the_digits_that_their_interval_allows(quantity, expected):
    assert (quantity.text, quantity.range) == expected
