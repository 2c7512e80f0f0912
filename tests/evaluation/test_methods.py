"""The paragraph about methods that a report offers."""

from __future__ import annotations

import pytest

from ctdenoise.evaluation.evaluate import evaluate
from ctdenoise.evaluation.methods_text import methods
from ctdenoise.evaluation.pairing import align
from ctdenoise.evaluation.protocols import Measurement
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
