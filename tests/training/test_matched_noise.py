from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import read_slice
from ctdenoise.noise.measure import ANATOMY_PER_MM, measure_noise, uniform_regions
from ctdenoise.training import LoadNoised, prepare, simulate_matched_noise
from tests.conftest import make_series


def items(folder: Path) -> list[dict]:
    return prepare("own-ct", folder)["validation"]


def test_simulated_noise_is_as_strong_as_that_of_the_slice_and_simulated_once(tmp_path):
    make_series(tmp_path / "a", slices=3, size=(160, 160))  # noise of 20 HU
    first = simulate_matched_noise(items(tmp_path / "a"), tmp_path / "noise", seed=1)
    assert len(first) == 3
    for item in first:
        hu = read_slice(Path(item["image"][0])).hu
        noise = LoadNoised("noise")(item)["noise"]
        assert noise.shape == (1, *hu.shape)
        of_slice, simulated = (
            measure_noise([x], uniform_regions([hu]), 0.8).above(ANATOMY_PER_MM) for x in (hu, noise[0])
        )
        assert simulated.std == pytest.approx(of_slice.std, rel=0.15)
        assert simulated.mean_frequency == pytest.approx(of_slice.mean_frequency, rel=0.15)
        assert abs(np.corrcoef(noise.ravel(), hu.ravel())[0, 1]) < 0.1
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "noise").iterdir()}
    assert simulate_matched_noise(items(tmp_path / "a"), tmp_path / "noise", seed=1) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "noise").iterdir()} == made


def test_series_without_soft_tissue_are_left_out_and_named_in_the_log(tmp_path, caplog):
    make_series(tmp_path / "a", slices=2, size=(160, 160))
    make_series(tmp_path / "small", slices=2)
    both = items(tmp_path / "a") + items(tmp_path / "small")
    with caplog.at_level(logging.WARNING):
        kept = simulate_matched_noise(both, tmp_path / "noise")
    assert [item["image"] for item in kept] == [item["image"] for item in both[:2]]
    assert "small: left out of the training: expected at least 6 uniform regions" in caplog.text
    with pytest.raises(InputError, match="expected uniform soft tissue"):
        simulate_matched_noise(items(tmp_path / "small"), tmp_path / "noise")
