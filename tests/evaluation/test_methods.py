"""The paragraph about methods that a report offers."""

from __future__ import annotations

import re

import pytest

from ctdenoise.evaluation.evaluate import evaluate
from ctdenoise.evaluation.methods_text import methods
from ctdenoise.evaluation.pairing import align
from ctdenoise.evaluation.protocols import PROTOCOLS, Measurement
from ctdenoise.evaluation.report import write_report
from ctdenoise.evaluation.stacks import open_stack
from ctdenoise.evaluation.windows import WINDOWS
from ctdenoise.inference import Denoiser, apply_operation
from ctdenoise.inference.dose_reduction import DoseReductionRequest
from ctdenoise.noise.lowdose import KERNELS
from tests.conftest import Halve, make_series, run_series


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    """A series, a quarter of its dose simulated, and that denoised."""
    folder = tmp_path_factory.mktemp("methods")

    def scanned(image, index):
        image.XRayTubeCurrent, image.ExposureTime = "200", "500"

    full = make_series(folder / "full", slices=3, edit=scanned)
    request = DoseReductionRequest(dose=0.25, photons=1.184e6, kernel=KERNELS["hann"], seed=1)
    (quarter,) = apply_operation(request, full, folder / "quarter").results
    denoised = run_series(Denoiser(Halve()), quarter.folder, folder / "denoised", strength=0.5)
    paths = {"reference": full, "noisy": quarter.folder, "ours": denoised.folder}
    return align({name: open_stack(path) for name, path in paths.items()})


@pytest.fixture(scope="module")
def document(aligned):
    return evaluate(aligned, [Measurement(WINDOWS["full"], ("psnr", "ssim"))], protocol="usual")


def test_a_simulated_dose_is_told_and_the_exposure_is_that_of_the_source(aligned, document, tmp_path):
    text = methods(document)[0]
    simulated = (
        "a quarter (0.25) of the dose of its source was simulated by noise inserted in the projections, 1.18e6 photons "
        "per ray of the source's scan, seed 1"
    )
    assert text.count(simulated) == 1
    assert document.images["reference"].scan.simulated_dose is None
    # The denoised series is known by its DICOM history alone.
    for name in ("noisy", "ours"):
        assert document.images[name].scan.simulated_dose == 0.25
    assert text.count("100 mAs of the source, 0.25 of whose dose was simulated") == 1
    assert text.count("100 mAs,") == 1
    write_report(document, aligned, tmp_path / "report.html")
    assert simulated.replace("'", "&#39;") in (tmp_path / "report.html").read_text()


def test_each_kind_of_interval_and_the_tests_are_named(document):
    text, references = methods(document)
    assert "Intervals of these are percentile bootstrap 95 % intervals (400 resamples of " in text
    assert "PSNR, SSIM [" in text
    assert "Intervals of means are percentile bootstrap 95 % intervals (2,000 resamples of slices)" in text
    assert "Wilcoxon's signed-rank test over slices" in text
    assert "protocol" not in text
    for cited in ("Wilcoxon F.", "Efron B", "Wang Z", "Transfer CLIP", "ctdenoise developers"):
        assert sum(cited in one for one in references) == 1
    assert sum(document.version in one for one in references) == 1
    assert not any("Sheikh HR, Bovik AC. Image information" in one for one in references)  # VIF was not measured


@pytest.mark.parametrize(
    ("protocol", "whose", "published"),
    [
        ("redcnn", "RED-CNN", "residual encoder-decoder"),
        ("ldct-benchmark", "low-dose CT benchmark", "Benchmarking deep learning-based"),
        ("paper", "Transfer CLIP", "arXiv:2403.15132"),
    ],
)
def test_a_protocol_and_its_publication_are_named(document, protocol, whose, published):
    text, references = methods(document.model_copy(update={"protocol": protocol}))
    found = re.search(rf"The protocol is “{protocol}”, that of .*?{whose} \[(\d+)\]\.", text)
    assert published in references[int(found[1]) - 1]


def test_every_protocol_has_a_publication(document):
    without = methods(document)[0]
    for protocol in PROTOCOLS:
        assert len(methods(document.model_copy(update={"protocol": protocol}))[0]) > len(without)
