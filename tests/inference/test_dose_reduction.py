from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread

from ctdenoise.errors import InputError
from ctdenoise.inference import RunOptions, RunResult, apply_operation
from ctdenoise.inference.dose_reduction import DoseReductionRequest
from ctdenoise.io.dicom import discover, read_slice
from ctdenoise.noise.lowdose import KERNELS
from ctdenoise.noise.measure import ANATOMY_PER_MM, measure_noise, uniform_regions
from tests.conftest import make_series

#: Photons and kernel are given, so that nothing has to be measured in small images.
given_scan = partial(DoseReductionRequest, photons=1e4, kernel=KERNELS["hann"])


def simulate(source: Path, output: Path, request: DoseReductionRequest | None = None, **options: object) -> RunResult:
    return apply_operation(request or given_scan(dose=0.25), source, output, options=RunOptions(**options))


def noise(source: Path, output: Path) -> np.ndarray:
    before = {read_slice(p).dataset.SOPInstanceUID: read_slice(p).hu for p in source.iterdir()}
    after = [read_slice(p) for p in sorted(output.rglob("*.dcm"))]
    return np.stack([s.hu - before[s.dataset.SourceImageSequence[0].ReferencedSOPInstanceUID] for s in after])


def test_a_derived_series_tells_what_was_simulated(tmp_path):
    source = make_series(tmp_path / "in")
    (result,) = simulate(source, tmp_path / "out").results
    original = dcmread(sorted(source.iterdir())[-1])
    derived = dcmread(result.folder / "0001.dcm")
    assert derived.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert derived.SOPInstanceUID != original.SOPInstanceUID
    assert derived.StudyInstanceUID == original.StudyInstanceUID
    assert (original.SeriesNumber, derived.SeriesNumber) == (7, 2007)
    assert derived.SeriesDescription == "Water disc - 0.25 of the dose simulated, not for diagnostic use"
    for text in ("0.25 of the dose", "1e+04 photons", "kernel hann", "seed 0", "not for diagnostic use"):
        assert text in derived.DerivationDescription
    assert "enoised" not in f"{derived.DerivationDescription} {derived.ImageComments} {derived.SeriesDescription}"
    parameters = result.manifest.operation.parameters
    assert (parameters["dose"], parameters["scan"]["photons"], parameters["scan"]["kernel"]["window"]) == (
        0.25,
        1e4,
        "hann",
    )
    assert result.manifest.status == "complete"


def test_noise_grows_as_the_dose_falls_and_has_no_mean(tmp_path):
    source = make_series(tmp_path / "in", size=(64, 64))
    disc = np.s_[:, 20:44, 20:44]
    std = {}
    for dose in (0.5, 0.1):
        simulate(source, tmp_path / str(dose), given_scan(dose=dose, electronic=0))
        found = noise(source, tmp_path / str(dose))[disc]
        std[dose] = found.std()
        assert abs(found.mean()) < 0.2 * found.std()
    assert std[0.1] / std[0.5] == pytest.approx(3, rel=0.15)


def test_noise_that_is_measured_follows_the_tube_current(tmp_path):
    def scanned(image, index):
        image.XRayTubeCurrent = (100, 400, 400)[index]

    source = make_series(tmp_path / "in", size=(200, 200), edit=scanned)
    disc = np.s_[:, 70:130, 70:130]
    measured = simulate(source, tmp_path / "measured", DoseReductionRequest(dose=0.5, electronic=0)).results[0]
    weak, strong, _ = noise(source, measured.folder)[disc].std((1, 2))
    assert weak / strong == pytest.approx(2, rel=0.15)
    assert measured.manifest.operation.parameters["tube_current_ma"] == 300
    assert "photons at 300 mA" in dcmread(measured.folder / "0001.dcm").DerivationDescription
    simulate(source, tmp_path / "given")
    weak, strong, _ = noise(source, tmp_path / "given")[disc].std((1, 2))
    assert weak / strong == pytest.approx(1, rel=0.15)


def test_a_seed_repeats_the_noise_of_each_slice_and_slices_differ(tmp_path):
    source = make_series(tmp_path / "in")
    first, again, other = (
        noise(source, simulate(source, tmp_path / name, given_scan(dose=0.25, seed=seed)).results[0].folder)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])


def test_a_run_that_was_cut_off_goes_on_to_the_same_result(tmp_path):
    source = make_series(tmp_path / "in")
    (whole,) = simulate(source, tmp_path / "whole").results
    (cut,) = simulate(source, tmp_path / "cut").results
    (cut.folder / "0002.dcm").unlink()
    (resumed,) = simulate(source, tmp_path / "cut").results
    assert resumed.written == 1
    for path in whole.folder.glob("*.dcm"):
        assert dcmread(path).PixelData == dcmread(resumed.folder / path.name).PixelData
    assert simulate(source, tmp_path / "cut").results[0].written == 0


def test_volumes_are_simulated_too(tmp_path):
    rng = np.random.default_rng(0)
    hu = np.where(np.hypot(*np.mgrid[-32:32, -32:32]) < 25, 20, -1000) + rng.normal(0, 5, (3, 64, 64))
    image = SimpleITK.GetImageFromArray(hu.astype(np.int16))
    image.SetSpacing((0.8, 0.8, 3.0))
    SimpleITK.WriteImage(image, tmp_path / "a.nii.gz")
    (result,) = simulate(tmp_path / "a.nii.gz", tmp_path / "out").results
    noisy = SimpleITK.ReadImage(tmp_path / "out" / "a.nii.gz")
    assert noisy.GetSpacing() == pytest.approx((0.8, 0.8, 3.0))
    difference = SimpleITK.GetArrayFromImage(noisy).astype(float) - hu.astype(np.int16)
    assert difference[:, 24:40, 24:40].std() > 5
    assert not np.array_equal(difference[0], difference[1])
    assert result.manifest.operation.parameters["seed"] == 0


def test_what_cannot_be_simulated_is_told_with_its_file_and_the_rest_is_done(tmp_path):
    def drop_spacing(image, _):
        del image.PixelSpacing

    source = make_series(tmp_path / "in", edit=drop_spacing)
    with pytest.raises(InputError, match=r"IMG00\d: PixelSpacing \(0028,0030\): expected the pixel spacing"):
        simulate(source, tmp_path / "out")
    with pytest.raises(InputError, match=r"IMG00\d: expected at least 6 uniform regions"):
        simulate(make_series(tmp_path / "small"), tmp_path / "out", DoseReductionRequest(dose=0.25))
    make_series(tmp_path / "in" / "good")
    outcome = simulate(source, tmp_path / "both")
    assert outcome.failed
    assert [len(r.manifest.slices) for r in outcome.results] == [3]
    with pytest.raises(ValueError, match="dose: expected a value above 0 and below 1, found 1"):
        DoseReductionRequest(dose=1)


@pytest.mark.slow
def test_noise_measured_in_a_real_series_is_what_it_gets(data, tmp_path):
    """At half the dose, as much is added as there is."""
    source = tmp_path / "in"
    source.mkdir()
    for path in sorted((data / "ct" / "rider-0117").iterdir())[10:13]:
        (source / path.name).write_bytes(path.read_bytes())
    (result,) = simulate(source, tmp_path / "out", DoseReductionRequest(dose=0.5)).results
    added = noise(source, result.folder)
    body = np.stack([read_slice(p).hu for p in sorted(source.iterdir())])[0] > -100
    assert 10 < added[0][body].std() < 22  # 15 HU in its uniform regions
    assert result.manifest.operation.parameters["scan"]["kernel"]["window"] == "measured"


@pytest.mark.slow
def test_noise_is_right_at_both_ends_of_a_scan_with_modulated_tube_current(data, tmp_path):
    """299 mA in the first slice, 614 mA in the last."""
    files = discover(data / "ct" / "lungfcp-0001").series[0].slices
    chosen = [*files[:3], *files[28:31], *files[-3:]]
    source = tmp_path / "in"
    source.mkdir()
    for file in chosen:
        (source / file.path.name).write_bytes(file.path.read_bytes())
    simulate(source, tmp_path / "out", DoseReductionRequest(dose=0.5))
    own = [read_slice(file.path) for file in chosen]
    added = noise(source, tmp_path / "out")
    for part in (slice(0, 3), slice(6, 9)):
        images = [one.hu for one in own[part]]
        ratios = [
            np.divide(
                *(
                    measure_noise(of, [one], own[0].pixel_spacing_mm).above(ANATOMY_PER_MM).std
                    for of in (added[part], images)
                )
            )
            for one in uniform_regions(images)
        ]
        assert np.median(ratios) == pytest.approx(1, rel=0.25)
