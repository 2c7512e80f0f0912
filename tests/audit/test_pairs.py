"""Measurements on pairs of simulated doses: coverage of error bounds, and the dose statement."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from ctdenoise.audit.bench import make_bench
from ctdenoise.audit.coverage import measure_coverage
from ctdenoise.audit.document import DoseStatement, Interval
from ctdenoise.audit.dose_check import DosePair, check_dose
from ctdenoise.audit.windows import middle
from ctdenoise.inference import Denoiser
from ctdenoise.noise.lowdose import KERNELS, Scan, dose_noise
from ctdenoise.noise.measure import uniform_regions
from tests.audit.conftest import PIXEL_MM


class Smooth(torch.nn.Module):
    """A mean over 3 × 3 pixels."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(image, 3, 1, 1, count_include_pad=False)


def full_dose(count, size=256):
    """Return slices of a large disc of soft tissue, with noise of projections, without neighbours."""
    rows, columns = np.mgrid[:size, :size] - size / 2
    clean = gaussian_filter(np.where(np.hypot(rows, columns) < 0.45 * size, 50.0, -1000.0), 0.9).astype(np.float32)
    scan = Scan(photons=2e5, kernel=KERNELS["smooth"])
    return [
        (clean + dose_noise(clean, pixel_mm=PIXEL_MM, dose=0.5, scan=scan, rng=np.random.default_rng(seed)))[None]
        for seed in range(count)
    ]


def statement(dose):
    interval = dose and Interval(value=dose[1], low=dose[0], high=dose[2])
    return DoseStatement(
        diameter_mm=5, contrast_hu=10, doses=[], npw_derived=[], npw_source=1, dose=interval, sentence=""
    )


def test_a_statement_holds_where_its_interval_contains_the_true_dose():
    true = statement((0.5, 0.6, 0.7))
    assert DosePair(0.5, statement((0.55, 0.65, 0.75)), true).holds is True
    assert DosePair(0.5, statement((0.61, 0.65, 0.75)), true).holds is False
    assert DosePair(0.5, statement(None), true).holds is None


def test_a_bench_takes_the_regions_it_is_given(noisy):
    given = [(index, row + 1, column) for index, row, column in uniform_regions(noisy)]
    bench = make_bench([one[None] for one in noisy], PIXEL_MM, middle, given)
    assert sorted(bench.regions) == sorted(given)


@pytest.mark.slow
def test_bounds_cover_the_full_dose_images_that_calibrated_nothing():
    found = measure_coverage(
        full_dose(6), Denoiser(Smooth()), dose=0.25, pixel_mm=PIXEL_MM, thickness_mm=2.5, strength=0.8
    )
    assert found.shares["soft tissue"] == pytest.approx(0.9, abs=0.05)
    assert found.mean_hu["soft tissue"] > 0


@pytest.mark.slow
def test_low_dose_images_tell_what_full_dose_images_tell():
    slices = full_dose(7)
    found = check_dose(
        slices[:6], Denoiser(Smooth()), dose=0.25, pixel_mm=PIXEL_MM, neighbours=[middle(one) for one in slices[1:]]
    )
    assert found.stated.npw_source == pytest.approx(found.true.npw_source, rel=0.15)
    assert found.stated.npw_derived == pytest.approx(found.true.npw_derived, rel=0.2)
