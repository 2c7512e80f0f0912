from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ctdenoise.errors import InputError
from ctdenoise.inference.strength import (
    FALLBACK_STRENGTH,
    FULL_DOSE_STRENGTH,
    StrengthEstimate,
    automatic_strength,
    expected_strength,
    full_dose_noise,
    sample_indices,
    water_equivalent_diameter,
)
from ctdenoise.io.dicom import discover, read_slice
from ctdenoise.noise.lowdose import WATER_PER_MM, dose_noise
from ctdenoise.noise.matching import match_scan
from ctdenoise.noise.measure import evenly_spread
from ctdenoise.noise.soft_tissue import measure_soft_tissue_noise
from tests.conftest import real_series

Images = list[np.ndarray]


def noisy(std: float, *, cutoff_per_mm: float = 0.6, slices: int = 2, size: int = 256) -> Images:
    """Slices of uniform soft tissue with the noise of a Hann kernel; its default is a soft-tissue kernel."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]) / 0.7
    hann = np.where(frequency < cutoff_per_mm, 0.5 + 0.5 * np.cos(np.pi * frequency / cutoff_per_mm), 0)
    noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(slices, size, size))) * np.sqrt(frequency) * hann)
    return list((50 + std / noise.std() * noise).astype(np.float32))


def read(folder: Path) -> tuple[Images, float | None, float | None]:
    """All slices of a series, their pixel spacing and slice thickness."""
    (series,) = discover(folder).series
    slices = [read_slice(file.path) for file in series.slices]
    return [item.hu for item in slices], slices[0].pixel_spacing_mm, slices[0].slice_thickness_mm


def test_strength_rises_with_noise_between_its_bounds():
    strengths = [automatic_strength(noisy(std), 0.7, 2.5).strength for std in (0, 3, 12, 16, 24, 35, 70, 200)]
    assert strengths == sorted(strengths)
    assert strengths[0] == strengths[1] == FULL_DOSE_STRENGTH
    assert FULL_DOSE_STRENGTH < strengths[2] < strengths[3] < strengths[4] < strengths[5]
    assert 0.85 < strengths[-1] <= 0.9


def test_noise_of_full_dose_loses_about_a_third_and_that_of_a_quarter_of_it_three_quarters():
    # Typical scans have up to 1.4 times the noise of the reference, which is that of a good protocol.
    assert expected_strength(0.0) == pytest.approx(0.33, abs=0.05)
    assert expected_strength(np.log(1.4)) < 0.45
    assert expected_strength(np.log(2 * 1.4)) == pytest.approx(0.75, abs=0.05)
    assert expected_strength(100.0) == pytest.approx(0.9, abs=0.01)
    assert expected_strength(-100.0) == pytest.approx(FULL_DOSE_STRENGTH, abs=0.01)


def test_strength_never_depends_steeply_on_the_measured_noise():
    excess = np.linspace(-3, 3, 601)
    strengths = np.array([expected_strength(value) for value in excess])
    assert np.all(np.diff(strengths) >= 0)
    # A tenth more noise changes the strength by less than 0.08.
    assert np.max(np.gradient(strengths, excess)) * np.log(1.1) < 0.08


def test_full_dose_noise_follows_thickness_kernel_and_diameter():
    reference = full_dose_noise(2.5, 0.31, 280)
    assert full_dose_noise(1.25, 0.31, 280) == pytest.approx(reference * 2**0.5)
    assert full_dose_noise(2.5, 0.62, 280) == pytest.approx(reference * 4)
    assert full_dose_noise(2.5, 0.31, 400) > 1.5 * reference


@pytest.mark.slow
def test_the_law_of_full_dose_noise_fits_scans_of_many_patients(data):
    """Noise of all single slices and of the body series, at the dose they were scanned with."""
    parts = [
        ([item.hu], item.pixel_spacing_mm, item.slice_thickness_mm)
        for item in map(read_slice, data.glob("ct-singles/*/*.dcm"))
    ]
    for name in real_series():
        if not name.startswith(("ge-", "ibsi-")):  # a head, limbs
            images, pixel_mm, thickness_mm = read(data / "ct" / name)
            parts.append(([images[i] for i in sample_indices(len(images))], pixel_mm, thickness_mm))
    rows = []
    for images, pixel_mm, thickness_mm in parts:
        assert pixel_mm is not None
        assert thickness_mm is not None
        for image in images:
            if noise := measure_soft_tissue_noise(image, pixel_mm):
                diameter = water_equivalent_diameter(image, pixel_mm)
                logs = [np.log(noise.std), np.log(thickness_mm), np.log(noise.mean_frequency), WATER_PER_MM * diameter]
                expected = np.log(full_dose_noise(thickness_mm, noise.mean_frequency, diameter))
                rows.append((*logs, expected, len(images) ** -0.5))
    std, thickness, frequency, attenuation, expected, weight = np.array(rows).T
    design = np.stack((np.ones_like(std), thickness, frequency, attenuation), axis=1) * weight[:, np.newaxis]
    exponents = np.linalg.lstsq(design, std * weight, rcond=None)[0][1:]
    excess = std - expected
    spread = np.sqrt(np.cov(excess, aweights=weight**2))
    print(f"exponents {exponents.round(2)}, spread {spread:.2f}, tenth {np.quantile(excess[weight == 1], 0.1):.2f}")
    assert exponents == pytest.approx([-0.5, 2, 0.3], abs=0.1)
    assert spread < 0.33


def test_sharp_kernels_thin_slices_and_large_patients_may_be_noisier():
    reference = automatic_strength(noisy(25), 0.7, 2.5).strength
    assert automatic_strength(noisy(25, cutoff_per_mm=0.85), 0.7, 2.5).strength < reference
    assert automatic_strength(noisy(25), 0.7, 1.0).strength < reference
    assert automatic_strength(noisy(25), 0.9, 2.5).strength != reference
    assert automatic_strength([np.tile(image, (2, 2)) for image in noisy(25)], 0.7, 2.5).strength < reference


def test_air_around_the_patient_does_not_matter():
    in_air = [np.pad(image, 64, constant_values=-1000) for image in noisy(25)]
    more_air = [np.pad(image, 64, constant_values=-1000) for image in in_air]
    assert automatic_strength(in_air, 0.7, 2.5).strength == automatic_strength(more_air, 0.7, 2.5).strength


def test_the_measurements_behind_a_strength_are_given():
    found = automatic_strength(noisy(25, slices=3), 0.7, 2.5)
    assert found.noise_hu is not None
    assert found.full_dose_noise_hu is not None
    assert found.mean_frequency_per_mm == pytest.approx(0.29, abs=0.02)
    assert found.noise_hu == pytest.approx(25 * 0.81, rel=0.1)  # 0.81 of this noise is above 0.15 cycles per mm
    assert found.slices == 3
    assert found.soft_tissue_cm2 > 100
    assert found.warnings == ()
    excess = np.log(found.noise_hu / found.full_dose_noise_hu)
    assert found.strength == pytest.approx(expected_strength(excess), abs=0.006)


@pytest.mark.parametrize("images", [[], [np.full((64, 64), -850, np.float32)], [np.zeros((8, 8), np.float32)]])
def test_without_soft_tissue_the_strength_is_one_half_and_says_so(images):
    found = automatic_strength(images, 0.7, 2.5)
    assert found == StrengthEstimate(FALLBACK_STRENGTH, None, None, None, 0.0, 0, found.warnings)
    assert found.strength == 0.5
    assert found.warnings == ("no soft tissue to measure noise in: strength 0.5 is used",)


def test_slices_without_soft_tissue_change_nothing():
    images = noisy(25)
    lung = np.full((256, 256), -850, np.float32)
    assert automatic_strength([lung, *images, lung], 0.7, 2.5) == automatic_strength(images, 0.7, 2.5)


def test_assumed_spacing_and_thickness_are_named():
    images = noisy(25)
    known, assumed = automatic_strength(images, 0.7, 2.5), automatic_strength(images, None, None)
    assert assumed.strength == known.strength
    assert [warning.partition(" is unknown")[0] for warning in assumed.warnings] == ["pixel spacing", "slice thickness"]


def test_a_sharp_kernel_at_a_high_strength_is_warned_of():
    (warning,) = automatic_strength(noisy(200, cutoff_per_mm=1.6), 0.7, 2.5).warnings
    assert warning.startswith("sharp kernel (mean noise frequency 0.4")
    assert automatic_strength(noisy(10, cutoff_per_mm=1.6), 0.7, 2.5).warnings == ()
    assert automatic_strength(noisy(100), 0.7, 2.5).warnings == ()


def test_sixteen_slices_evenly_spread_are_measured():
    assert sample_indices(0) == []
    assert sample_indices(3) == [0, 1, 2]
    assert sample_indices(151) == list(range(0, 151, 10))


@pytest.mark.parametrize("name", real_series())
def test_strength_of_a_part_of_a_series_is_that_of_the_whole(data, name):
    """Leave-half-out: the table in docs/strength.md has the differences."""
    images, pixel_mm, thickness_mm = read(data / "ct" / name)

    def strength(part: Sequence[int]) -> float:
        return automatic_strength([images[part[i]] for i in sample_indices(len(part))], pixel_mm, thickness_mm).strength

    everything = np.arange(len(images))
    half = len(images) // 2
    rng = np.random.default_rng(0)
    halves = {
        "even": everything[::2],
        "odd": everything[1::2],
        "first half": everything[:half],
        "second half": everything[half:],
        **{f"random half {i}": np.sort(rng.permutation(everything)[:half]) for i in range(3)},
        **{f"four evenly spread, from {i}": everything[i :: len(images) // 4][:4] for i in range(2)},
    }
    whole = strength(everything)
    differences = {part: round(strength(indices) - whole, 2) for part, indices in halves.items()}
    print(f"{name}: strength {whole}, differences {differences}")
    assert max(map(abs, differences.values())) <= 0.08, differences


def test_a_full_dose_scan_loses_about_a_third_of_its_noise(data):
    assert automatic_strength(*read(data / "ct" / "rider-0117")).strength <= 0.4


def strengths_over_dose(images: Images, pixel_mm: float, thickness_mm: float | None) -> list[float]:
    """Strengths as scanned, and at a simulated half, quarter and tenth of the dose."""
    scan = match_scan(images, pixel_mm)
    found = [automatic_strength(images, pixel_mm, thickness_mm).strength]
    for dose in (0.5, 0.25, 0.1):
        rngs = [np.random.default_rng([index, int(100 * dose)]) for index in range(len(images))]
        reduced = [
            image + dose_noise(image, pixel_mm=pixel_mm, dose=dose, scan=scan, rng=rng)
            for image, rng in zip(images, rngs, strict=True)
        ]
        found.append(automatic_strength(reduced, pixel_mm, thickness_mm).strength)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lidc-0001", "lidc-0003"])
def test_a_simulated_quarter_of_the_dose_loses_most_of_its_noise(data, name):
    images, pixel_mm, thickness_mm = read(data / "ct" / name)
    assert pixel_mm is not None
    full, half, quarter, tenth = strengths_over_dose(images[len(images) // 2 :][:1], pixel_mm, thickness_mm)
    assert full < 0.42
    assert full < half < quarter < tenth
    assert 0.7 <= quarter <= 0.85


@pytest.mark.slow
@pytest.mark.parametrize("name", real_series())
def test_strength_rises_as_dose_falls_in_a_series(data, name):
    """Prints its row of the table in docs/strength.md."""
    images, pixel_mm, thickness_mm = read(data / "ct" / name)
    assert pixel_mm is not None
    four = [images[i] for i in evenly_spread(len(images), 4)]
    strengths = strengths_over_dose(four, pixel_mm, thickness_mm)
    print(f"| `{name}` | " + " | ".join(f"{strength:.2f}" for strength in strengths) + " |")
    assert strengths == sorted(strengths)


@pytest.mark.slow
def test_strength_over_dose_of_many_patients(data):
    """Prints the table of single slices in docs/strength.md."""
    folder = data / "ct-singles"
    with (folder / "manifest.csv").open(newline="") as file:
        first_of_patient = {row["PatientID"]: folder / row["file"] for row in reversed(list(csv.DictReader(file)))}
    table = []
    for path in first_of_patient.values():
        image = read_slice(path)
        try:
            table.append(strengths_over_dose([image.hu], image.pixel_spacing_mm or 0.7, image.slice_thickness_mm))
        except InputError:
            continue  # too little uniform soft tissue to estimate the scan's photons
    quantiles = np.quantile(table, [0.1, 0.25, 0.5, 0.75, 0.9], axis=0)
    for name, row in zip(("10 %", "25 %", "median", "75 %", "90 %"), quantiles, strict=True):
        print(f"| {name} | " + " | ".join(f"{strength:.2f}" for strength in row) + " |")
    full, _, quarter, _ = quantiles[2]
    assert full < 0.45
    assert 0.7 < quarter < 0.85
