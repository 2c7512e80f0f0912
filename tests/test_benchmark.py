from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from ctdenoise.benchmark import SCHEMA, network, record
from ctdenoise.benchmark.phantom_series import NOISE_HU, phantom_slice
from ctdenoise.benchmark.series import end_to_end, stages
from ctdenoise.errors import InputError
from ctdenoise.models import NetworkConfig, build_network
from ctdenoise.models.zoo import load_model


def test_the_reference_is_the_same_network_with_layer4_on_top():
    built = build_network(NetworkConfig(encoder="RN50", residual=9), seed=0).eval()
    torch.nn.init.normal_(built.decoder.last.weight, std=0.01)
    ran = []
    reference = network.ReferenceOrder(built)
    reference.layer4.register_forward_hook(lambda module, given, result: ran.append(tuple(result.shape)))
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(reference(image), built(image))
    assert ran == [(1, 2048, 2, 2)]


def test_a_row_tells_time_memory_operations_and_agreement():
    ready = network._prepare("ct-lowdose-lite", "eager", "cpu", 128)
    assert network._time() > 0
    finished = network._finish()
    assert finished["peak_memory_mb"] > 100
    assert finished["difference_max_hu"] == 0
    # 13.8 GFLOP for 512², multiplications and additions
    assert ready["gflop_per_slice"] == pytest.approx(13.8 / 16, rel=0.1)


def test_end_to_end_and_by_stage():
    row = end_to_end("ct-lowdose-lite", "cpu", 64, 3)
    assert row["seconds_per_slice"] == pytest.approx(row["seconds"] / 3, abs=0.01)
    seconds_of = stages("ct-lowdose-lite", "cpu", 64, 2)["seconds"]
    assert list(seconds_of) == ["decode", "denoise", "to stored values", "derive", "write"]
    assert all(seconds > 0 for seconds in seconds_of.values())


def test_a_phantom_is_like_a_noisy_scan():
    image = phantom_slice(128)
    assert image.shape == (128, 128)
    assert image[64, 64] == pytest.approx(45, abs=6 * NOISE_HU)


def test_a_history_has_a_line_for_each_measurement(tmp_path):
    history = tmp_path / "speed" / "history.jsonl"
    for seconds in (1.0, 2.0):
        record({"schema": SCHEMA, "network": [{"seconds_per_slice": seconds}]}, history)
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    assert [line["network"][0]["seconds_per_slice"] for line in lines] == [1.0, 2.0]
    (tmp_path / "notes.txt").write_text("something else\n")
    with pytest.raises(InputError, match="found another file"):
        record({"schema": SCHEMA}, tmp_path / "notes.txt")


@pytest.mark.slow
def test_the_command_prints_every_engine_beside_the_reference(tmp_path):
    history = tmp_path / "history.jsonl"
    call = [sys.executable, "-W", "ignore", "-m", "ctdenoise", "benchmark", "--model", "ct-lowdose-lite", "--json"]
    call += ["--size", "64", "--slices", "2", "--rounds", "1", "--record", str(history)]
    result = subprocess.run(call, capture_output=True, text=True, check=True)
    document = json.loads(result.stdout)
    assert document["schema"] == SCHEMA
    assert json.loads(history.read_text()) == document
    engines = [row["engine"] for row in document["network"]]
    assert engines[:2] == ["reference", "eager"]
    for row in document["network"]:
        assert {"engine", "model", "seconds_per_slice", "speedup_vs_reference", "peak_memory_mb"} <= row.keys()
    (whole,) = document["end_to_end"]
    assert whole["slices"] == 2
    assert whole["network_seconds_per_slice"] > 0
    assert load_model(whole["model"])[1].name == "ct-lowdose-lite"
