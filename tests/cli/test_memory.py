"""Memory is bounded and does not grow with the series."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import make_series

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")

MEASURE = """
import sys
from ctdenoise.inference import Denoiser, RunOptions, denoise
denoiser = Denoiser.from_pretrained(sys.argv[3], full_field=True)
denoise(sys.argv[1], sys.argv[2], model=denoiser, options=RunOptions(strength=1))
# The peak in kB since this program began; resource's ru_maxrss is never below that of the process which started it.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak_mb(folder, slices: int, model: str) -> float:
    make_series(folder / f"in{slices}", slices=slices, size=(512, 512))
    call = [sys.executable, "-W", "ignore", "-c", MEASURE, folder / f"in{slices}", folder / f"out{slices}", model]
    return int(subprocess.run(call, capture_output=True, text=True, check=True).stdout) / 1024


@pytest.mark.slow
def test_two_gigabytes_suffice_for_512(tmp_path):
    assert peak_mb(tmp_path, 3, "ct-lowdose") < 2000


@pytest.mark.slow
def test_peak_of_500_slices_is_that_of_50(tmp_path):
    few, many = (peak_mb(tmp_path, slices, "ct-lowdose-lite") for slices in (50, 500))
    assert many < few + 50
