"""Memory is bounded and does not grow with the series."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import make_series

MEASURE = """
import resource, sys
from ctdenoise.inference import Denoiser, RunOptions, denoise
denoiser = Denoiser.from_pretrained(sys.argv[3], engine=sys.argv[4], full_field=True)
denoise(sys.argv[1], sys.argv[2], model=denoiser, options=RunOptions(strength=1))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_mb(folder, slices: int, model: str, engine: str = "auto") -> float:
    make_series(folder / f"in{slices}", slices=slices, size=(512, 512))
    arguments = [folder / f"in{slices}", folder / f"out{slices}", model, engine]
    call = [sys.executable, "-W", "ignore", "-c", MEASURE, *arguments]
    return int(subprocess.run(call, capture_output=True, text=True, check=True).stdout) / 1024


@pytest.mark.parametrize("engine", ["eager", pytest.param("openvino", marks=pytest.mark.slow)])
def test_two_gigabytes_suffice_for_512(engine, tmp_path):
    assert peak_mb(tmp_path, 3, "ct-lowdose", engine) < 2000


@pytest.mark.slow
def test_peak_of_500_slices_is_that_of_50(tmp_path):
    few, many = (peak_mb(tmp_path, slices, "ct-lowdose-lite") for slices in (50, 500))
    assert many < few + 50
