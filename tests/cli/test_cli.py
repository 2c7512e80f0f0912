"""The command line as a user meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch

from ctdenoise.cli import main
from ctdenoise.io.dicom import discover, read_slice
from ctdenoise.models import NetworkConfig, build_network, zoo
from tests.conftest import make_series
from tests.models.test_authors import checkpoint
from tests.models.test_zoo import DESCRIPTION

COMMAND = [sys.executable, "-m", "ctdenoise"]


@dataclass
class Result:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def call(monkeypatch, capsys) -> Callable[..., Result]:
    """Run the command line in this process, which spares it the imports."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["ctdenoise", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Result(ended.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A small model, so that the command line is quick."""
    folder = tmp_path_factory.mktemp("zoo") / "small"
    network = build_network(NetworkConfig(**DESCRIPTION["network"]), seed=0)
    zoo.save_model(network, folder, **DESCRIPTION)
    return folder


def test_run_denoises_and_says_where(call, tmp_path, model):
    make_series(tmp_path / "in")
    arguments = ("run", tmp_path / "in", "-o", tmp_path / "out", "--model", model, "--strength", "1")
    result = call(*arguments)
    assert result.returncode == 0, result.stderr
    assert "3 of 3 slices, 3 now" in result.stdout
    assert result.stderr == ""
    again = call(*arguments)
    assert again.returncode == 0
    assert "all 3 slices were there already" in again.stdout


def test_json_is_one_document_with_everything(call, tmp_path, model):
    make_series(tmp_path / "in")
    (tmp_path / "in" / "notes.txt").write_text("hello")
    result = call("run", tmp_path / "in", "-o", tmp_path / "out", "--model", model, "--json")
    document = json.loads(result.stdout)
    assert result.returncode == 0
    (series,) = document["series"]
    assert (series["status"], series["written"]) == ("complete", 3)
    assert document["skipped"][0]["reason"] == "not a DICOM file"
    seen = json.loads(call("inspect", tmp_path / "in", "--json").stdout)
    assert seen["series"][0]["slices"] == 3
    assert seen["skipped"] == document["skipped"]


def test_a_broken_slice_costs_exit_code_1_and_nothing_else(call, tmp_path, model):
    make_series(tmp_path / "in")
    path = tmp_path / "in" / "IMG002"
    path.write_bytes(path.read_bytes()[:-500])
    result = call("run", tmp_path / "in", "-o", tmp_path / "out", "--model", model)
    assert result.returncode == 1
    assert "2 of 3 slices" in result.stdout
    assert "IMG002: PixelData (7FE0,0010)" in result.stderr


@pytest.mark.parametrize(
    ("prepare", "code", "message"),
    [
        (lambda p: (p / "in").mkdir(), 1, "expected DICOM files, found an empty folder"),
        (lambda p: (p / "in").write_text("hello"), 1, "not a DICOM file"),
        (lambda p: None, 1, "found nothing there"),
        (
            lambda p: (make_series(p / "in"), (p / "out").write_text("in the way")),
            1,
            "expected a folder for the results",
        ),
    ],
    ids=["empty folder", "text file", "absent", "output is a file"],
)
def test_bad_input_is_one_line_without_traceback(call, tmp_path, model, prepare, code, message):
    prepare(tmp_path)
    result = call("run", tmp_path / "in", "-o", tmp_path / "out", "--model", model)
    assert result.returncode == code
    assert message in result.stderr
    assert result.stderr.startswith("ctdenoise: ")
    assert [line for line in result.stderr.splitlines()[1:] if not line.startswith("See: docs/errors.md#")] == []


@pytest.mark.parametrize("lost", [100, 2500, 3400])
def test_a_truncated_file_alone_is_an_error(call, tmp_path, model, lost):
    make_series(tmp_path / "in", slices=1)
    path = tmp_path / "in" / "IMG001"
    path.write_bytes(path.read_bytes()[:-lost])
    result = call("run", path, "-o", tmp_path / "out", "--model", model)
    assert result.returncode == 1
    assert "PixelData (7FE0,0010)" in result.stderr
    assert "assumed" not in result.stderr, "nothing was measured, so nothing is said about measuring"
    assert "strength" not in result.stdout + result.stderr
    seen = call("inspect", path)
    assert seen.returncode == 1
    assert "skipped IMG001: PixelData (7FE0,0010)" in seen.stderr


def test_inspect_names_files_that_were_cut_off_and_whole_uids(call, tmp_path):
    source = make_series(tmp_path / "in")
    whole = call("inspect", source)
    assert (whole.returncode, whole.stderr) == (0, "")
    assert discover(source).series[0].uid in whole.stdout
    path = source / "IMG002"
    path.write_bytes(path.read_bytes()[:-501])
    (skipped,) = json.loads(call("inspect", source, "--json").stdout)["skipped"]
    assert (skipped["file"], skipped["failed"]) == ("IMG002", True)
    assert "501 bytes are missing" in skipped["reason"]


def test_run_takes_the_given_strength_or_derives_one(call, tmp_path, model):
    source = make_series(tmp_path / "in")
    given = ("run", source, "-o", tmp_path / "a", "--model", model, "--strength", "0.3")
    assert "strength 0.3" in call(*given).stdout
    assert "there already, strength 0.3;" in call(*given).stdout
    assert discover(tmp_path / "a").series[0].description == "Water disc - denoised 0.3, not for diagnostic use"
    # Too small to measure noise in; the message says so.
    assert "strength 0.5" in call("run", source, "-o", tmp_path / "b", "--model", model).stdout


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nrrd"])
def test_another_volume_of_the_same_name_is_exit_code_1(call, tmp_path, model, name):
    for folder, seed in (("a", 0), ("b", 1)):
        (tmp_path / folder).mkdir()
        values = np.random.default_rng(seed).integers(-100, 100, (6, 20, 24)).astype(np.int16)
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), tmp_path / folder / name)
    options = ("-o", tmp_path / "out", "--model", model, "--strength", "0.5")
    assert call("run", tmp_path / "a" / name, *options).returncode == 0
    first = (tmp_path / "out" / name).read_bytes()
    refused = call("run", tmp_path / "b" / name, *options)
    assert refused.returncode == 1
    assert "found a file of another input or other options" in refused.stderr
    assert refused.stderr.splitlines()[1:] == ["See: docs/errors.md#another-result-is-there"]
    assert (tmp_path / "out" / name).read_bytes() == first
    assert "all 6 slices were there already" in call("run", tmp_path / "a" / name, *options).stdout
    assert call("run", tmp_path / "b" / name, *options, "--overwrite").returncode == 0
    assert (tmp_path / "out" / name).read_bytes() != first


@pytest.mark.parametrize("as_json", [False, True])
def test_with_deidentify_no_input_name_is_printed_or_written(call, tmp_path, model, as_json):
    source = make_series(tmp_path / "PLANTED" / "PLANTED^PATIENT")
    (source / "PLANTED.txt").write_text("notes")
    broken = source / "IMG002"
    broken.write_bytes(broken.read_bytes()[:-500])
    broken.rename(source / "PLANTED-2")
    arguments = ["run", source.parent, "-o", tmp_path / "out", "--model", model, "--deidentify"]
    result = call(*arguments, *(["--json"] if as_json else []))
    assert result.returncode == 1
    assert "PLANTED" not in result.stdout + result.stderr
    for path in (tmp_path / "out").rglob("*"):
        assert "PLANTED" not in path.name
        assert path.is_dir() or b"PLANTED" not in path.read_bytes()
    absent = call("run", tmp_path / "PLANTED-absent", "-o", tmp_path / "out", "--model", model, "--deidentify")
    assert absent.returncode == 1
    assert "PLANTED" not in absent.stdout + absent.stderr


def test_options_of_deidentification_need_it(call, tmp_path, model):
    result = call("run", make_series(tmp_path / "in"), "-o", tmp_path / "out", "--model", model, "--patient-id", "X")
    assert result.returncode == 2
    assert "--patient-id" in result.stderr


def test_simulate_writes_a_derived_series_of_lower_dose(call, tmp_path):
    source = make_series(tmp_path / "in")
    scan = ("--dose", "0.25", "--photons", "1e5", "--kernel", "smooth", "--seed", "3")
    result = call("simulate", source, "-o", tmp_path / "out", *scan)
    assert result.returncode == 0
    assert "3 of 3 slices, 3 now" in result.stdout
    document = json.loads(call("simulate", source, "-o", tmp_path / "out", *scan, "--json").stdout)
    assert document["series"][0]["written"] == 0
    parameters = document["series"][0]["operation"]["parameters"]
    assert (parameters["dose"], parameters["scan"]["photons"], parameters["seed"]) == (0.25, 1e5, 3)
    assert parameters["scan"]["kernel"] == {"window": "hann", "cutoff_per_mm": 0.85, "curve": []}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--dose", "25"], "dose: expected a value above 0 and below 1, found 25; for 25 % give 0.25"),
        (["--dose", "0.5", "other"], "(other): expected one INPUT"),
        (
            ["--dose", "0.5", "--kernel", "B30f"],
            "Invalid value for '--kernel': 'B30f' is not one of 'ramp', 'shepp-logan'",
        ),
        (["--dose", "0.5", "--photons", "-3"], "--photons: expected a positive number, found -3"),
        ([], "Missing option '--dose'"),
    ],
)
def test_simulate_refuses_what_makes_no_sense(call, tmp_path, arguments, problem):
    result = call("simulate", make_series(tmp_path / "in"), "-o", tmp_path / "out", *arguments)
    assert result.returncode == 2
    assert problem in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    "arguments", [["run"], ["run", "x"], ["run", "x", "-o", "y", "--strength", "2"], ["fly"], ["run", "--nonsense"]]
)
def test_wrong_usage_is_exit_code_2(call, arguments):
    assert call(*arguments).returncode == 2


def test_an_unknown_model_is_refused_with_the_known_names(call, tmp_path):
    make_series(tmp_path / "in")
    result = call("run", tmp_path / "in", "-o", tmp_path / "out", "--model", "nonesuch")
    assert result.returncode == 1
    assert "ct-lowdose" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("device", ["abacus", "cpu:x"])
def test_an_absent_device_is_refused(call, tmp_path, model, device):
    make_series(tmp_path / "in")
    result = call("run", tmp_path / "in", "-o", tmp_path / "out", "--model", model, "--device", device)
    assert result.returncode == 1
    assert f"found {device}" in result.stderr


def test_help_of_every_command(call):
    for arguments in ([], ["run"], ["inspect"], ["demo"], ["models"], ["models", "list"], ["models", "verify"]):
        result = call(*arguments, "--help")
        assert result.returncode == 0
        assert "Usage" in result.stdout


def test_models_are_listed_shown_and_verified(call):
    assert "ct-lowdose" in call("models", "list").stdout
    shown = call("models", "show", "ct-lowdose")
    assert shown.returncode == 0
    assert "does not have CLIP's weights" in shown.stdout
    described = json.loads(call("models", "show", "ct-lowdose", "--json").stdout)
    assert described["name"] == "ct-lowdose"
    verified = call("models", "verify")
    assert verified.returncode == 0
    assert "intact" in verified.stdout


@pytest.mark.slow
def test_killed_at_any_moment_and_started_again_it_finishes(tmp_path, model):
    make_series(tmp_path / "in", slices=120, size=(160, 160))
    arguments = [*COMMAND, "run", tmp_path / "in", "-o", tmp_path / "out", "--model", model]
    for _ in range(3):
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = len(list((tmp_path / "out").rglob("*.dcm")))
        deadline = time.monotonic() + 60
        while len(list((tmp_path / "out").rglob("[0-9]*.dcm"))) < before + 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        for path in (tmp_path / "out").rglob("[0-9]*.dcm"):
            assert read_slice(path).hu.shape == (160, 160)
    there = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("[0-9]*.dcm")}
    assert 3 <= len(there) < 120
    assert subprocess.run(arguments, check=False, stdout=subprocess.DEVNULL).returncode == 0
    (series,) = discover(tmp_path / "out").series
    assert len(series.slices) == 120
    repeated = [p for p, when in there.items() if p.stat().st_mtime_ns != when]
    assert len(repeated) <= 3  # at most the slice each kill caught between its file and its journal line
    leftovers = [p.name for p in series.slices[0].path.parent.iterdir() if p.name.startswith(".")]
    assert leftovers == []


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGINT is POSIX's")
def test_ctrl_c_is_said_and_recorded(tmp_path, model):
    make_series(tmp_path / "in", slices=300, size=(160, 160))
    arguments = [*COMMAND, "run", tmp_path / "in", "-o", tmp_path / "out", "--model", model]
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").rglob("0003.dcm")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command continues where this one ended" in stderr
    assert "Traceback" not in stderr
    (manifest,) = (tmp_path / "out").rglob("manifest.json")
    assert json.loads(manifest.read_text())["status"] == "interrupted"


def test_datasets_are_listed_shown_and_prepared(call, tmp_path, monkeypatch):
    listed = call("datasets", "list")
    assert listed.returncode == 0
    assert {"aapm-mayo-2016", "cbsd432", "own-ct"} <= {line.split()[0] for line in listed.stdout.splitlines()}
    assert "L506 for testing only" in call("datasets", "show", "aapm-mayo-2016").stdout
    for name in ("x", "y"):
        make_series(tmp_path / name, slices=2, edit=lambda d, _, name=name: setattr(d, "PatientID", name))
    monkeypatch.chdir(tmp_path)
    prepared = call("datasets", "prepare", "own-ct", tmp_path, "--validation", "x", "--json")
    assert json.loads(prepared.stdout) == {"datalist": "own-ct.json", "training": 2, "validation": 2, "testing": 0}
    assert "/x/" in json.loads((tmp_path / "own-ct.json").read_text())["validation"][0]["image"][0]
    refused = call("datasets", "prepare", "kodak24", tmp_path)
    assert refused.returncode == 1
    assert "expected 24 images" in refused.stderr


def test_the_authors_checkpoint_is_imported_and_denoises(call, tmp_path):
    torch.save({"params": checkpoint(1)}, tmp_path / "net_g_latest.pth")
    imported = call("models", "import", tmp_path / "net_g_latest.pth", "-o", tmp_path / "theirs", "--json")
    assert imported.returncode == 0, imported.stderr
    assert json.loads(imported.stdout)["encoder_name"] == "clip-rn50-adapted"
    assert "SHA-256" in call("models", "show", tmp_path / "theirs").stdout
    make_series(tmp_path / "in", slices=1)
    result = call("run", tmp_path / "in", "-o", tmp_path / "out", "--model", tmp_path / "theirs")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ct_highdose"], "pipelines: expected one of ct_lowdose, ct_lowdose_lite, natural_gaussian"),
        (["ct_lowdose", "--iteration", "3"], "--iteration: expected a key of the configuration, found none"),
        (["ct_lowdose", "stray"], "expected --key value, found stray"),
        (
            ["ct_lowdose", "--overlay", "none"],
            "expected one of the configuration files compare, context, evaluate, export",
        ),
        (["ct_lowdose", "--output_dir", "/dev/null/x"], "/dev/null/x: Not a directory"),
        (["ct_lowdose", "--dataset_dir", "/nowhere"], "/nowhere: expected the folder of a data set"),
        (["ct_lowdose", "--dataset", "lena", "--dataset_dir", "."], "datasets: expected one of aapm-mayo-2016"),
        (["ct_lowdose", "--crop", "abc"], "--crop: expected a whole number such as 128, found 'abc'"),
        (["ct_lowdose", "--crop", "100"], "--crop: expected a multiple of 16, found 100"),
        (["ct_lowdose", "--iterations", "0"], "--iterations: expected at least 1, found 0"),
        (["ct_lowdose", "--noise_std", "abc"], "--noise_std: expected a number such as 0.0196"),
        (["ct_lowdose", "--betas", "0.9"], "--betas: expected a list such as [0.9, 0.999], found 0.9"),
        (["ct_lowdose", "--encoder", "nonsense"], "encoder: expected one of RN50"),
        (["ct_lowdose", "--network#levels", "7"], "levels"),
        (["ct_lowdose", "--network#levle", "2"], "levle"),
    ],
)
def test_training_says_what_it_cannot_use(arguments, message, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_series(tmp_path / "data" / "a", slices=1, edit=lambda d, _: setattr(d, "PatientID", "a"))
    make_series(tmp_path / "data" / "b", slices=1, edit=lambda d, _: setattr(d, "PatientID", "b"))
    result = call("train", *arguments, *([] if "--dataset_dir" in arguments else ["--dataset_dir", "data"]))
    assert result.returncode == 1
    assert [line for line in result.stderr.splitlines()[1:] if not line.startswith("See: docs/errors.md#")] == []
    assert message in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.stderr
