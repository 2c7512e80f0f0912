from __future__ import annotations

import numpy as np
import pytest

from ctdenoise.noise.phantom import render, thorax
from ctdenoise.noise.soft_tissue import measure_soft_tissue_noise

PIXEL_MM = 0.7


def ct_noise(std: float, cutoff_per_mm: float) -> tuple[np.ndarray, float, float]:
    """Noise with the spectrum of a ramp and a Hann window, and its deviation and frequency above 0.15 per mm."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.rfftfreq(512)[None]) / PIXEL_MM
    hann = np.where(frequency < cutoff_per_mm, 0.5 + 0.5 * np.cos(np.pi * frequency / cutoff_per_mm), 0)
    spectrum = np.fft.rfft2(rng.normal(size=(512, 512))) * np.sqrt(frequency) * hann
    noise = np.fft.irfft2(spectrum)
    high = spectrum * (1 - np.exp(-2 * (np.pi * 1.25 * frequency) ** 2))
    power = np.abs(high) ** 2
    scale = std / noise.std()
    rms_frequency = np.sqrt((power * frequency**2).sum() / power.sum())
    return (scale * noise).astype(np.float32), scale * float(np.fft.irfft2(high).std()), float(rms_frequency)


@pytest.mark.parametrize("cutoff", [0.4, 0.6, 0.85])
@pytest.mark.parametrize("std", [5.0, 40.0])
def test_noise_is_measured_in_uniform_tissue_and_in_anatomy_alike(std, cutoff):
    noise, high_std, frequency = ct_noise(std, cutoff)
    for truth in (50, render(thorax(), 0, size=512, pixel_mm=PIXEL_MM, oversample=2)):
        found = measure_soft_tissue_noise(truth + noise, PIXEL_MM)
        assert found is not None
        assert found.std == pytest.approx(high_std, rel=0.06)
        assert found.mean_frequency == pytest.approx(frequency, rel=0.15)


def test_sharper_kernels_have_higher_frequencies():
    found = [measure_soft_tissue_noise(50 + ct_noise(20, cutoff)[0], PIXEL_MM) for cutoff in (0.4, 0.6, 0.85, 1.2)]
    frequencies = [noise.mean_frequency for noise in found if noise]
    assert len(frequencies) == 4
    assert min(np.diff(frequencies)) > 0.04


def test_slow_gradients_are_not_noise():
    rows = np.linspace(-100, 100, 256, dtype=np.float32)[:, np.newaxis]
    found = measure_soft_tissue_noise(np.tile(rows, (1, 256)), PIXEL_MM)
    assert found is not None
    assert found.std < 1


def test_without_10_square_centimetres_of_soft_tissue_nothing_is_measured():
    lung = np.full((256, 256), -850, np.float32)
    assert measure_soft_tissue_noise(lung, PIXEL_MM) is None
    lung[100:150, 100:150] = 50  # 12 cm², and less inside the margin
    assert measure_soft_tissue_noise(lung, PIXEL_MM) is None
    lung[100:170, 100:170] = 50
    assert measure_soft_tissue_noise(lung, PIXEL_MM) is not None


def test_pixels_without_a_value_count_as_air():
    image = 50 + ct_noise(10, 0.6)[0]
    air = image.copy()
    image[:100], air[:100] = np.nan, -1024
    assert measure_soft_tissue_noise(image, PIXEL_MM) == measure_soft_tissue_noise(air, PIXEL_MM)
