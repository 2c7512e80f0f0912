from __future__ import annotations

import json

import numpy as np
import pytest
from matplotlib.image import imread

from ctdenoise import Denoiser
from ctdenoise.demo import run_demo
from ctdenoise.io.dicom import discover, read_slice


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return folder, run_demo(folder, Denoiser.from_pretrained(), size=512, slices=2, say=lambda _: None)


def test_the_denoised_series_is_closer_to_the_truth_in_every_window(demo):
    _, result = demo
    for window, before in result.before.items():
        after = result.after[window]
        assert after["psnr"] > before["psnr"] + 1, window
        assert after["ssim"] > before["ssim"], window
        assert after["rmse"] < before["rmse"], window


def test_it_leaves_four_series_of_one_study_a_picture_and_a_report(demo):
    folder, result = demo
    found = discover(folder)
    assert len(found.series) == 4
    assert len({s.study_uid for s in found.series}) == 1
    assert all(len(s.slices) == 2 for s in found.series)
    picture = imread(result.picture)
    assert picture.shape[0] > 500
    assert picture.std() > 0.1
    page = result.report.read_text()
    assert "full dose" in page
    assert "task transfer function" in page
    rmse = next(e for e in json.loads((folder / "metrics.json").read_text())["fidelity"] if e["metric"] == "rmse")
    assert rmse["mean"] == result.before["full"]["rmse"]


def test_low_dose_is_noisier_than_full_dose_and_denoised_is_quieter(demo):
    _, result = demo

    def muscle_noise(path):
        return np.std(read_slice(path).hu[140:156, 240:272])

    full, low, denoised = (
        muscle_noise(folder / "0001.dcm") for folder in (result.full_dose, result.low_dose, result.denoised)
    )
    assert denoised < 0.7 * low
    assert full < 0.7 * low
