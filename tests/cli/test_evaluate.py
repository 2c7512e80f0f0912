from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ctdenoise.cli import app
from tests.conftest import make_series, run_series

runner = CliRunner()


@pytest.fixture
def folders(tmp_path, halve):
    series = make_series(tmp_path / "series")
    result = run_series(halve, series, tmp_path / "out", strength=0.1)
    return series, result.folder


def test_a_result_is_evaluated_against_its_source(folders, tmp_path):
    series, result = folders
    out = tmp_path / "evaluation"
    arguments = ["evaluate", "--reference", series, "--test", f"ours={result}", "-o", out]
    done = runner.invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    assert "soft-tissue" in done.output
    assert str(out / "report.html") in done.output.replace("\n", "")
    assert {e["image"] for e in json.loads((out / "metrics.json").read_text())["fidelity"]} == {"ours"}
    assert "ours" in (out / "report.html").read_text()


def test_a_protocol_and_json(folders, tmp_path):
    series, result = folders
    out = tmp_path / "evaluation"
    arguments = ["evaluate", "--reference", series, "--test", result, "--protocol", "redcnn", "-o", out, "--json"]
    document = json.loads(runner.invoke(app, list(map(str, arguments))).stdout)
    assert document["protocol"] == "redcnn"
    assert [e["metric"] for e in document["fidelity"]] == ["psnr", "ssim", "rmse"]
    assert document["fidelity"][0]["image"] == "test"


def test_photographs(tmp_path):
    rng = np.random.default_rng(0)
    for folder, sigma in (("clean", 0), ("a", 10), ("b", 30)):
        (tmp_path / folder).mkdir()
        for name in "xy":
            image = np.clip(120 + rng.normal(0, sigma, (64, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / folder / f"{name}.png")
    tests = [part for name in "ab" for part in ("--test", f"{name}={tmp_path / name}")]
    command = ["evaluate", "--reference", str(tmp_path / "clean"), *tests, "-o", str(tmp_path / "out"), "--json"]
    document = json.loads(runner.invoke(app, command).stdout)
    psnr = {e["image"]: e["mean"] for e in document["fidelity"] if e["metric"] == "psnr"}
    assert psnr["a"] == pytest.approx(20 * np.log10(255 / 10), abs=0.3)
    assert psnr["b"] == pytest.approx(20 * np.log10(255 / 30), abs=0.3)
    assert document["physics"] is None


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ([], "expected --test or --noisy, found neither"),
        (["--reference", "x"], "expected --test or --noisy, found neither"),
        (["--test", "x", "--protocol", "best"], "'best' is not one of 'redcnn', 'ldct-benchmark', 'paper'"),
        (["--test", "x", "--protocol", "paper", "--window", "lung"], "a protocol has its own"),
        (["--test", "x", "--window", "liver"], "'liver' is not one of"),
        (["--test", "x", "--mask", "head"], "'head' is not one of 'none', 'body'"),
        (["--test", "x", "--protocol", "paper", "--mask", "body"], "a protocol measures all pixels"),
        (["--test", "x", "--insert", "1,2"], "expected ROW,COLUMN,RADIUS"),
        (["--test", "a=x", "--test", "a=y"], "found a twice"),
        (["--test", "noisy=x"], "noisy, which is reserved for --noisy"),
        (["--suite", "natural-ood"], "expected --suite and --data"),
    ],
)
def test_wrong_usage_is_explained(extra, said, tmp_path):
    done = runner.invoke(app, ["evaluate", "-o", str(tmp_path / "out"), *extra])
    assert done.exit_code == 2
    words = " ".join(done.output.replace("│", " ").split())
    assert said in words
    assert not (tmp_path / "out").exists()


def test_help_shows_the_choices_and_groups_the_options():
    output = runner.invoke(app, ["evaluate", "--help"], env={"COLUMNS": "160"}).output
    for choices in ("redcnn|ldct-benchmark|paper", "none|body", "natural-ood", "brain|mediastinum"):
        assert choices in output
    panels = re.findall(r"╭─ (.*?) ─+╮", output)
    assert panels == ["Options", "Images", "Metrics", "Suite of photographs", "Output"]


def test_stacks_and_metrics_are_imported_without_torch_and_monai():
    code = (
        "import sys, ctdenoise.evaluation.stacks, ctdenoise.evaluation.metrics; "
        "print(*sorted({'torch', 'monai', 'piq', 'torchmetrics', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
