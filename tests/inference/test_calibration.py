from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ctdenoise.inference.calibration import Calibration, Cost
from ctdenoise.inference.engines import ENGINES
from ctdenoise.models import NetworkConfig, build_network

CPU = torch.device("cpu")
NETWORK = build_network(NetworkConfig(encoder="resnet18"), seed=0).eval()


@pytest.fixture
def remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "ctdenoise" / "engines.json"


def chosen(slices: int, *, width: float = 1.0, name: str = "model") -> str:
    with torch.inference_mode():
        probe = torch.rand(1, 3, 128, 128)
        return Calibration(NETWORK, CPU, 3, name, width).fastest(probe, slices)


def test_for_few_slices_nothing_is_measured(remembered):
    assert chosen(3) == "eager"
    assert not remembered.exists()


@pytest.fixture
def without_openvino_and_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("ctdenoise.inference.engines.openvino.find_spec", lambda name: None)


def test_costs_are_measured_once_and_remembered_for_each_model(remembered, without_openvino_and_compiler):
    chosen(400)
    first = remembered.read_text()
    (entry,) = json.loads(first).values()
    assert entry["costs"]["eager"]["seconds"] > 0
    chosen(400)
    assert remembered.read_text() == first
    chosen(400, name="another")
    assert len(json.loads(remembered.read_text())) == 2


@pytest.mark.parametrize("damage", [lambda e: [], lambda e: 5, lambda e: {"costs": {"eager": {"s": 1}}}])
def test_what_cannot_be_understood_is_measured_again(remembered, without_openvino_and_compiler, damage):
    chosen(400)
    content = json.loads(remembered.read_text())
    remembered.write_text(json.dumps({key: damage(entry) for key, entry in content.items()}))
    chosen(400)
    (entry,) = json.loads(remembered.read_text()).values()
    assert entry["costs"]["eager"]["seconds"] > 0
    remembered.write_text("[]")
    chosen(400)
    assert json.loads(remembered.read_text())


@pytest.mark.skipif(ENGINES["mixed"].unavailable(NETWORK, CPU) is not None, reason="no bfloat16 on this processor")
@pytest.mark.parametrize("width", [1e9, float("nan")])
def test_an_engine_that_differs_is_not_taken_however_fast(remembered, without_openvino_and_compiler, width):
    assert chosen(10**6, width=width) == "eager"
    (entry,) = json.loads(remembered.read_text()).values()
    assert not entry["costs"]["mixed"]["usable"]


@pytest.mark.slow
def test_an_engine_that_does_not_work_costs_the_run_nothing(remembered, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(f"""
import ctdenoise.inference.engines.openvino as openvino
openvino.find_spec = lambda name: None  # as if it were not installed
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_calibration import chosen
print("chosen", chosen(10**6))
""")
    environment = {**os.environ, "CXX": shutil.which("false") or "", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=True)
    assert "engine compile does not work here" in done.stderr
    assert done.stdout.split()[-1] in ("eager", "mixed")
    (entry,) = json.loads(remembered.read_text()).values()
    assert not entry["costs"]["compile"]["usable"]


def test_a_slice_alone_is_no_work_for_an_engine_that_needs_several(monkeypatch, remembered):
    monkeypatch.setattr(ENGINES["mixed"], "parallel_calls", 2)
    calibration = Calibration(NETWORK, CPU, 3, "model", 1.0)
    single, twice = Cost(0.0, 1.0), Cost(0.0, 0.6)
    for slices, faster in ((1, "eager"), (2, "mixed"), (3, "mixed"), (200, "mixed")):
        seconds = {
            "eager": calibration._total_seconds("eager", single, 1.0, slices),
            "mixed": calibration._total_seconds("mixed", twice, 1.0, slices),
        }
        assert min(seconds, key=seconds.__getitem__) == faster


def test_what_is_remembered_decides(remembered, without_openvino_and_compiler):
    chosen(10**6, width=0.0)
    content = json.loads(remembered.read_text())
    (entry,) = content.values()
    if "mixed" not in entry["costs"]:
        pytest.skip("no second engine here")
    entry["costs"]["mixed"] |= {"seconds": 1e-9, "setup": 1.0}
    remembered.write_text(json.dumps(content))
    assert chosen(10**6) == "mixed"
    entry["costs"]["mixed"] |= {"setup": 1e9}
    remembered.write_text(json.dumps(content))
    assert chosen(10**6) == "eager"
