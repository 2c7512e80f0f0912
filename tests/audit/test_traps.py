"""What must be found is found, and what is right passes: on a synthetic patient, and on a real one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ctdenoise.audit.null import simulate_null
from ctdenoise.audit.slice_audit import SeriesNoise
from ctdenoise.audit.traps import TRAPS, Trial, judge
from ctdenoise.evaluation.stacks import open_stack
from tests.audit.conftest import PIXEL_MM, texture


@pytest.fixture(scope="session")
def noise(model):
    return SeriesNoise(model, simulate_null(model))


def denoised(clean, noisy, strength=0.5):
    """Return what a good denoiser would make of slices."""
    return [one + (truth - one) * np.float32(strength) for truth, one in zip(clean, noisy, strict=True)]


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_found(name, clean, noisy, noise):
    donor = np.flipud(noisy[0])
    trial = Trial(noisy, denoised(clean, noisy), PIXEL_MM, donor, np.random.default_rng(1))
    assert judge(trial.source, TRAPS[name](trial), noise) == "fail"


def test_what_is_right_passes(clean, noisy, noise):
    assert judge(noisy, noisy, noise) == "pass"
    for strength in (0.3, 1.0):
        assert judge(noisy, denoised(clean, noisy, strength), noise) == "pass"
    added = [one + 15 * texture(len(one), np.random.default_rng(i)) for i, one in enumerate(noisy)]
    assert judge(added, noisy, noise) == "pass"


def test_whole_hu_are_no_fault(clean, noisy, noise):
    rounded = [np.round(one) for one in noisy]
    assert judge(rounded, [np.round(one) for one in denoised(clean, rounded)], noise) == "pass"


def test_stronger_smoothing_than_the_noise_needs_is_found(noisy, noise):
    assert judge(noisy, [gaussian_filter(one, 2.0) for one in noisy], noise) == "fail"


@pytest.mark.slow
def test_traps_in_a_real_patient(data):
    stack = open_stack(data / "ct" / "rider-0117")
    source = [stack.read(i) for i in (18, 19, 20)]
    donor = open_stack(data / "ct" / "lidc-0003").read(5)
    from ctdenoise.audit.noise_model import measure_noise_model

    model = measure_noise_model(source, stack.pixel_spacing_mm)
    noise = SeriesNoise(model, simulate_null(model))
    assert judge(source, source, noise) == "pass"
    trial = Trial(source, source, stack.pixel_spacing_mm, donor, np.random.default_rng(0))
    missed = [name for name, trap in TRAPS.items() if judge(source, trap(trial), noise) != "fail"]
    assert missed == []
