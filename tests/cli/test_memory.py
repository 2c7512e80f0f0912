"""Memory does not grow with the series."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import make_series

MEASURE = """
import resource, sys
from ctdenoise import Denoiser
from ctdenoise.models import NetworkConfig, build_network
network = build_network(NetworkConfig(encoder="resnet18"), seed=0)
Denoiser(network).denoise_series(sys.argv[1], sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_peak_of_80_slices_is_that_of_20(tmp_path):
    peak = {}
    for slices in (20, 80):
        make_series(tmp_path / str(slices), slices=slices, size=(512, 512))
        call = [sys.executable, "-c", MEASURE, tmp_path / str(slices), tmp_path / f"out{slices}"]
        peak[slices] = int(subprocess.run(call, capture_output=True, text=True, check=True).stdout) / 1024
    assert peak[80] < peak[20] + 100
