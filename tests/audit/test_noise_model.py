from __future__ import annotations

import numpy as np
import pytest

from ctdenoise.audit.bands import bands
from ctdenoise.audit.noise_model import measure_noise_model
from ctdenoise.audit.null import simulate_null
from tests.audit.conftest import PIXEL_MM, texture


def test_noise_is_simulated_with_the_spectrum_and_strength_of_the_scan(model):
    assert model.measured
    assert model.std == pytest.approx(15, rel=0.15)
    simulated = model.unit_field((512, 384), np.random.default_rng(1))
    assert simulated.std() == pytest.approx(1, rel=0.03)
    expected = texture(512, np.random.default_rng(2))
    for ours, theirs in zip(bands(simulated, PIXEL_MM), bands(expected, PIXEL_MM), strict=True):
        assert ours.values.std() == pytest.approx(theirs.values.std(), rel=0.35), ours.scale_mm


def test_local_noise_is_measured_where_it_varies(model):
    strength = np.linspace(8, 30, 256, dtype=np.float32)[None] * np.ones((256, 1), np.float32)
    local = model.local_std(strength * model.unit_field((256, 256), np.random.default_rng(3)))
    assert np.median(local / strength) == pytest.approx(1, abs=0.05)
    assert np.abs(local / strength - 1)[20:-20, 20:-20].max() < 0.35


def test_anatomy_does_not_count_as_noise(model, clean):
    local = model.local_std(clean[0] + 15 * texture(256, np.random.default_rng(4)))
    assert np.median(local[60:200, 30:220]) == pytest.approx(15, rel=0.2)


def test_without_uniform_regions_a_spectrum_is_assumed():
    rng = np.random.default_rng(0)
    lung = -850 + 30 * texture(128, rng)
    model = measure_noise_model([lung], 0.7)
    assert not model.measured
    assert 10 < model.std < 60


def test_p_values_of_noise_are_uniform(model):
    null = simulate_null(model)
    area = (256 * PIXEL_MM) ** 2
    values = []
    for seed in range(30):
        field = model.unit_field((256, 256), np.random.default_rng(100 + seed))
        for band, of_noise in zip(bands(field, PIXEL_MM), null, strict=True):
            values.append(of_noise.p_value(float(np.abs(band.values).max()) / of_noise.std, area))
    assert np.mean(values) == pytest.approx(0.5, abs=0.12)
    assert np.mean(np.array(values) < 0.05) < 0.12
