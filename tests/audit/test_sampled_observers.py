"""Observers on samples against theory, and the command on a phantom that was scanned often."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ctdenoise.audit.detectability import main
from ctdenoise.audit.observers import auc, npw
from ctdenoise.audit.sampled_observers import laguerre_gauss, sampled_cho, sampled_npw

SIDE, RADIUS = 33, 5.0


def noise(count: int, seed: int) -> np.ndarray:
    """Return correlated noise, ``[count, SIDE, SIDE]``, periodic."""
    white = np.random.default_rng(seed).standard_normal((count, SIDE, SIDE))
    return 12 * np.stack([gaussian_filter(one, 1.0, mode="wrap") for one in white])


def disc(contrast: float) -> np.ndarray:
    axis = np.arange(SIDE) - SIDE // 2
    return contrast * (np.hypot(axis[:, None], axis) <= RADIUS).astype(float)


def test_npw_agrees_with_theory_and_its_auc_with_its_d_prime():
    signal = disc(3)
    spectrum = np.mean(np.abs(np.fft.fft2(noise(2000, 0))) ** 2, axis=0) / SIDE**2
    found = sampled_npw(noise(2000, 1) + signal, noise(2000, 2))
    assert found.d_prime == pytest.approx(npw(signal, spectrum), rel=0.05)
    assert found.auc == pytest.approx(auc(found.d_prime), abs=0.01)
    assert 0 < found.d_prime_sd < 0.1


def test_cho_agrees_with_the_covariance_of_all_images():
    signal, channels = disc(1.5), laguerre_gauss(SIDE, RADIUS)
    flat = channels.reshape(len(channels), -1)
    covariance = np.cov(noise(2000, 0).reshape(2000, -1) @ flat.T, rowvar=False)
    difference = flat @ signal.ravel()
    found = sampled_cho(noise(2000, 1) + signal, noise(2000, 2), channels)
    assert found.d_prime == pytest.approx(np.sqrt(difference @ np.linalg.solve(covariance, difference)), rel=0.05)
    assert found.auc == pytest.approx(auc(found.d_prime), abs=0.01)


def test_laguerre_gauss_channels_are_orthonormal():
    flat = laguerre_gauss(65, 9.0).reshape(5, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(5), atol=1e-3)


def test_what_is_not_there_is_not_seen():
    found = sampled_npw(noise(400, 1), noise(400, 2))
    assert found.auc == pytest.approx(0.5, abs=3 * found.auc_sd + 0.02)


@pytest.mark.parametrize(("count", "measure"), [(3, sampled_npw), (6, lambda *i: sampled_cho(*i, np.ones((5, 3, 3))))])
def test_too_few_images_are_refused(count, measure):
    with pytest.raises(ValueError, match=f"found {count} and {count}"):
        measure(np.zeros((count, 3, 3)), np.ones((count, 3, 3)))


def test_the_command_reads_volumes_and_says_what_is_wrong(tmp_path, monkeypatch, capsys):
    images = noise(80, 3)
    present, absent = tmp_path / "present.npy", tmp_path / "absent.npy"
    np.save(present, (images[:40] + disc(6)).astype(np.float32))
    np.save(absent, images[40:].astype(np.float32))
    monkeypatch.setattr(sys, "argv", ["detectability", str(present), str(absent), "--lesion", "16", "16", "5"])
    main()
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[2].strip() for row in rows] == ["NPW", "LG-CHO"]
    expected = sampled_npw(images[:40] + disc(6), images[40:])
    assert float(rows[0][3].split("±")[0]) == pytest.approx(expected.d_prime, rel=0.1)
    monkeypatch.setattr(sys, "argv", [*sys.argv[:3], "--lesion", "2", "16", "5"])
    with pytest.raises(SystemExit, match="expected 31 × 31 pixels around row 2, column 16, found 33 × 33 pixels"):
        main()
