"""The library changes no setting of the process it is used in."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import make_series

PROGRAM = """
import logging, os, random, signal, sys, warnings

import numpy, torch
import torch._dynamo.config
# These change settings when they are imported, whoever imports them.
import matplotlib, monai, monai.transforms, open_clip, pydicom

def state():
    return {
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "warnings": list(warnings.filters),
        "recompile limit": torch._dynamo.config.recompile_limit,
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32),
        "default type": torch.get_default_dtype(),
        "torch seed": torch.initial_seed(),
        "torch state": torch.get_rng_state().tolist(),
        "numpy state": numpy.random.get_state()[1].tolist(),
        "python state": random.getstate(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "logging": (logging.root.level, list(logging.root.handlers), logging.getLogger("ctdenoise").handlers),
        "numpy errors": numpy.geterr(),
        "decompression": pydicom.config.settings.reading_validation_mode,
    }

before = state()
import ctdenoise.inference
after = {"import": state()}
from ctdenoise.inference import Denoiser, RunOptions, denoise
denoiser = Denoiser.from_pretrained("ct-lowdose-lite", device="cpu", engine=sys.argv[3])
denoise(sys.argv[1], sys.argv[2], model=denoiser, options=RunOptions())
after["run"] = state()
for step, values in after.items():
    for name, value in values.items():
        if value != before[name]:
            print(f"{step} changed {name}: {before[name]} -> {value}"[:300])
"""


@pytest.mark.parametrize("engine", ["eager", pytest.param("auto", marks=pytest.mark.slow)])
def test_import_and_a_run_leave_the_process_as_it_was(engine, tmp_path):
    source = make_series(tmp_path / "in", size=(64, 64))
    call = [sys.executable, "-c", PROGRAM, source, tmp_path / "out", engine]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
