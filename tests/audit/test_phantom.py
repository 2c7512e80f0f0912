"""The virtual phantom: denoisers whose effect is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ctdenoise.audit.bench import make_bench
from ctdenoise.audit.inserts import SIDE, insert
from ctdenoise.audit.phantom import _task, measure_phantom
from ctdenoise.audit.windows import middle
from ctdenoise.errors import InputError
from ctdenoise.noise.lowdose import KERNELS, Scan, dose_noise
from tests.audit.conftest import PIXEL_MM


def same(window):
    return middle(window)


def smooth(window):
    return gaussian_filter(middle(window), 1.0)


def alone(slices):
    """Return slices without neighbours."""
    return [one[None] for one in slices]


def test_contrast_recovery_and_resolution_of_a_linear_filter(noisy):
    bench = make_bench(alone(noisy), PIXEL_MM, smooth)
    spectra = {"source": bench.spectra(bench.slices), "derived": bench.spectra(bench.denoised)}
    for diameter, contrast in ((5.0, 10.0), (10.0, 100.0), (10.0, -5.0)):
        found = _task(bench, (diameter, contrast), spectra)
        patch = insert(diameter, contrast, PIXEL_MM, bench.ttf)
        expected = (gaussian_filter(patch, 1.0) * patch).sum() / (patch**2).sum()
        for kind, recovery in found.contrast_recovery.items():
            assert recovery.value == pytest.approx(expected, rel=0.03), (kind, diameter, contrast)
        if diameter == 10:
            frequency = np.linspace(0, 0.5 / PIXEL_MM, 2000)
            transfer = np.interp(frequency, *bench.ttf) * np.exp(-2 * (np.pi * PIXEL_MM * frequency) ** 2)
            expected = float(np.interp(-0.5, -transfer, frequency))
            assert found.ttf50_per_mm == pytest.approx(expected, rel=0.03)


def test_nothing_done_changes_nothing(noisy):
    bench = make_bench(alone(noisy), PIXEL_MM, same)
    spectra = {"source": bench.spectra(bench.slices), "derived": bench.spectra(bench.denoised)}
    found = _task(bench, (5.0, 10.0), spectra)
    assert found.contrast_recovery["uniform"].value == pytest.approx(1, abs=1e-3)
    assert found.npw_derived.value == pytest.approx(found.npw_source.value, rel=1e-3)
    assert found.cho_derived.value == pytest.approx(found.cho_source.value, rel=1e-3)
    assert found.npw_source.low < found.npw_source.value < found.npw_source.high


def test_lesions_do_not_overlap(noisy):
    bench = make_bench(alone(noisy), PIXEL_MM, same)
    for index in range(len(bench.slices)):
        places = [place for kind in bench.places.values() for place in kind[index]]
        assert len(places) > 0
        for i, (row, column) in enumerate(places):
            assert all(max(abs(row - r), abs(column - c)) >= SIDE for r, c in places[:i])


def test_without_soft_tissue_there_is_no_phantom():
    with pytest.raises(InputError, match="expected at least 6 uniform regions"):
        make_bench([np.full((1, 128, 128), -1000.0, np.float32)], PIXEL_MM, same)


@pytest.mark.slow
def test_a_series_that_was_not_denoised_needs_its_own_dose(clean):
    # Noise of projections: other noise is not like it at the low frequencies that a lesion of 5 mm has.
    scan = Scan(photons=3e4, kernel=KERNELS["smooth"])
    noises = [
        dose_noise(one, pixel_mm=PIXEL_MM, dose=0.5, scan=scan, rng=np.random.default_rng(20 + i))
        for i, one in enumerate(clean)
    ]
    slices = [one + noise for one, noise in zip(clean, noises, strict=True)]
    found = measure_phantom(make_bench(alone(slices), PIXEL_MM, same), model="none", strength=0.0)
    assert found.dose.npw_derived[0] == pytest.approx(found.dose.npw_source, rel=1e-3)
    # d′ falls with the root of the dose.
    ratios = np.array(found.dose.npw_derived) / np.sqrt(found.dose.doses)
    assert ratios == pytest.approx(ratios[0], rel=0.15)
