from __future__ import annotations

import numpy as np

from ctdenoise.inference import denoise_path
from ctdenoise.inference.strength import STRONGEST, WEAKEST, automatic_strength, some_of
from tests.conftest import make_series


def noisy(std: float, *, mean_frequency: float = 0.31, pixel_mm: float = 0.7) -> list[np.ndarray]:
    """Two slices of soft tissue with noise of a narrow band about a frequency, cycles per mm."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None]) / pixel_mm
    band = np.exp(-(((frequency - mean_frequency) / 0.08) ** 2))
    noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(2, 256, 256))) * band)
    return list((50 + std / noise.std() * noise).astype(np.float32))


def test_more_noise_is_denoised_more():
    strengths = [automatic_strength(noisy(std), 0.7, 2.5) for std in (3, 10, 14, 18, 23, 60)]
    assert strengths == sorted(strengths)
    assert strengths[0] == strengths[1] == WEAKEST
    assert strengths[-1] == STRONGEST
    assert 0.35 < strengths[2] < strengths[3] < strengths[4]


def test_a_full_dose_scan_changes_by_less_than_a_third_of_its_noise():
    assert all(automatic_strength(noisy(std), 0.7, 2.5) <= 1 / 3 for std in (8, 10, 12))


def test_sharp_kernels_may_be_noisier():
    assert automatic_strength(noisy(18, mean_frequency=0.42), 0.7, 2.5) < automatic_strength(noisy(18), 0.7, 2.5)


def test_without_soft_tissue_strength_is_1():
    assert automatic_strength([np.full((64, 64), -850, np.float32)], 0.7, 2.5) == 1
    assert automatic_strength([], None, None) == 1


def test_thin_slices_may_be_noisier_by_the_root_of_their_thickness():
    assert automatic_strength(noisy(32), 0.7, 1.25) == automatic_strength(noisy(32 / 2**0.5), 0.7, 2.5)
    assert automatic_strength(noisy(16), 0.7, 1.0) == WEAKEST < automatic_strength(noisy(16), 0.7, 5.0)
    assert automatic_strength(noisy(20), 0.7, None) == automatic_strength(noisy(20), 0.7, 2.5)


def test_large_patients_may_be_noisier_and_air_does_not_count():
    images = noisy(20)
    larger = [np.tile(image, (2, 2)) for image in images]
    assert automatic_strength(larger, 0.7, 2.5) < automatic_strength(images, 0.7, 2.5)
    in_air = [np.pad(image, 64, constant_values=-1000) for image in images]
    assert automatic_strength(in_air, 0.7, 2.5) == automatic_strength(images, 0.7, 2.5)


def test_a_quarter_of_a_full_dose_loses_most_of_its_noise():
    full, quarter = ([np.tile(image, (1, 2)) for image in noisy(std)] for std in (14, 28))
    assert automatic_strength(full, 0.7, 2.5) == WEAKEST
    assert 0.65 < automatic_strength(quarter, 0.7, 2.5) < 0.85


def test_pixel_spacing_matters_and_0_7_mm_stands_in_for_it():
    images = noisy(20)
    assert automatic_strength(images, None, 2.5) == automatic_strength(images, 0.7, 2.5)
    assert automatic_strength(images, 0.7, 2.5) > automatic_strength(images, 0.5, 2.5)


def test_arrays_and_runs_use_it_where_no_strength_is_given(halve, tmp_path):
    volume = np.stack(noisy(16))
    chosen = automatic_strength(list(volume), 0.7, None)
    assert WEAKEST < chosen < STRONGEST
    np.testing.assert_array_equal(halve(volume), halve(volume, strength=chosen))
    source = make_series(tmp_path / "in", slices=2, size=(256, 256))
    (result,) = denoise_path(halve, source, tmp_path / "out").results
    assert result.manifest["strength"] < 1
    (full,) = denoise_path(halve, source, tmp_path / "full", strength=1).results
    assert full.manifest["strength"] == 1
    assert full.folder.name != result.folder.name


def test_a_run_takes_the_thickness_from_the_header(halve, tmp_path):
    def thick(image, index):
        image.SliceThickness = "10"

    thin = make_series(tmp_path / "thin", slices=2, size=(256, 256))
    thicker = make_series(tmp_path / "thick", slices=2, size=(256, 256), edit=thick)
    strengths = [
        denoise_path(halve, source, tmp_path / f"{source.name}-out").results[0].manifest["strength"]
        for source in (thin, thicker)
    ]
    assert strengths[0] < strengths[1]


def test_eight_of_many_evenly_spread():
    assert some_of(range(3)) == [0, 1, 2]
    assert some_of(range(71)) == [0, 10, 20, 30, 40, 50, 60, 70]
