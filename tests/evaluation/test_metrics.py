from __future__ import annotations

import numpy as np
import pytest

from ctdenoise.evaluation import WINDOWS, window_metrics


def test_values_are_clipped_to_the_window_and_its_width_is_the_data_range():
    reference = np.zeros((2, 16, 16), np.float32)
    test = np.full((2, 16, 16), 40, np.float32)
    result = window_metrics(reference, test, WINDOWS["soft-tissue"])
    assert result["rmse"] == pytest.approx(40)
    assert result["psnr"] == pytest.approx(20)  # 20 log10(400 / 40)
    outside = window_metrics(reference + 1000, test + 2000, WINDOWS["soft-tissue"])
    assert outside["rmse"] == 0
    assert outside["ssim"] == 1


def test_metrics_are_means_over_slices():
    reference = np.zeros((2, 16, 16), np.float32)
    test = reference + np.array([10, 30], np.float32)[:, None, None]
    result = window_metrics(reference, test, WINDOWS["full"])
    assert result["rmse"] == pytest.approx(20)
    assert result["psnr"] == pytest.approx(np.mean(20 * np.log10(4096 / np.array([10, 30]))))
