"""Observers and inserts against theory and against sampled images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ctdenoise.audit.inserts import SIDE, insert
from ctdenoise.audit.observers import _channels, auc, cho, npw, pixel_spectrum
from ctdenoise.evaluation.detectability import detectability
from ctdenoise.noise.measure import Noise

PIXEL_MM = 0.7
SHARP = (np.array([0.0, 2.0]), np.array([1.0, 1.0]))


def white(std: float) -> np.ndarray:
    """Return the noise power spectrum of white noise."""
    return np.full((32, 32), std**2 * PIXEL_MM**2)


def coloured(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return periodic correlated noise, ``[count, 64, 64]``, and its spectrum."""
    noise = rng.standard_normal((count, SIDE, SIDE))
    return 12 * np.stack(
        [gaussian_filter(one, 1.0, mode="wrap") - gaussian_filter(one, 2.5, mode="wrap") for one in noise]
    )


def test_the_mean_of_a_spectrum_is_the_variance_of_a_pixel():
    assert pixel_spectrum(white(15), PIXEL_MM, SIDE).mean() == pytest.approx(225)


def test_npw_in_white_noise_is_the_norm_of_the_signal_over_the_noise():
    signal = insert(5, 10, PIXEL_MM, SHARP)
    d_prime = npw(signal, pixel_spectrum(white(15), PIXEL_MM, SIDE))
    assert d_prime == pytest.approx(np.sqrt((signal**2).sum()) / 15)
    # The same as of the evaluation, which works with radial curves.
    radial = Noise(15.0, np.arange(17) / (32 * PIXEL_MM), np.full(17, 225 * PIXEL_MM**2), white(15))
    assert d_prime == pytest.approx(detectability(radial, PIXEL_MM, task=(5, 10)), rel=0.05)


def test_npw_and_cho_agree_with_sampled_images():
    rng = np.random.default_rng(0)
    images = coloured(rng, 1500)
    spectrum = np.mean(np.abs(np.fft.fft2(images)) ** 2, axis=0) / SIDE**2
    signal = insert(8, 6, PIXEL_MM, SHARP)
    template = (images * signal).sum(axis=(1, 2))
    assert npw(signal, spectrum) == pytest.approx((signal**2).sum() / template.std(), rel=0.05)

    channels = np.fft.fftshift(np.fft.ifft2(_channels(SIDE)).real, axes=(1, 2)).reshape(10, -1)
    outputs, difference = images.reshape(len(images), -1) @ channels.T, channels @ signal.ravel()
    covariance = np.cov(outputs.T)
    for internal in (0.0, 1.0):
        total = covariance + internal * np.diag(np.diag(covariance))
        sampled = np.sqrt(difference @ np.linalg.solve(total, difference))
        assert cho(signal, spectrum, internal_noise=internal) == pytest.approx(sampled, rel=0.05)


def test_internal_noise_and_blur_never_help():
    spectrum = pixel_spectrum(white(15), PIXEL_MM, SIDE)
    signal = insert(5, 10, PIXEL_MM, SHARP)
    assert cho(signal, spectrum, internal_noise=1) < cho(signal, spectrum, internal_noise=0) <= npw(signal, spectrum)


def test_auc_of_no_and_of_a_strong_signal():
    assert auc(0) == 0.5
    assert auc(1.0) == pytest.approx(0.760, abs=1e-3)
    assert auc(10) == pytest.approx(1)


@pytest.mark.parametrize("diameter", [3.0, 5.0, 10.0])
def test_a_lesion_has_its_area_and_contrast(diameter):
    patch = insert(diameter, 40, PIXEL_MM, SHARP)
    assert patch.sum() * PIXEL_MM**2 == pytest.approx(40 * np.pi * diameter**2 / 4)
    rows, columns = np.indices(patch.shape)
    assert (patch * rows).sum() / patch.sum() == pytest.approx(SIDE // 2, abs=0.02)
    assert (patch * columns).sum() / patch.sum() == pytest.approx(SIDE // 2, abs=0.02)
    assert patch[SIDE // 2, SIDE // 2] == pytest.approx(40, rel=0.15)
