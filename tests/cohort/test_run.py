"""Parts of a plan: every series exactly once, whatever happens to the processes."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import pyarrow.parquet
import pytest

from ctdenoise.cohort.part_run import run_here
from ctdenoise.cohort.state import SeriesState
from tests.cli.test_startup import HEAVY, start
from tests.conftest import make_series

COMMAND = [sys.executable, "-m", "ctdenoise", "cohort"]


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def test_parts_process_each_series_once_as_run_does(cohort):
    cohort.make(5)
    first, second = cohort.run("1/2"), cohort.run("2/2")
    assert {outcome.status for outcome in first + second} == {"complete"}
    assert len({outcome.id for outcome in first + second}) == 5
    cohort.assert_each_series_once_as_by_run()
    assert all(outcome.there for outcome in cohort.run())
    assert list((cohort.folder / "scratch").glob("*/*")) == []
    assert list(cohort.state.glob("attempts/*")) + list(cohort.state.glob("arriving/*")) == []


@pytest.mark.slow
def test_parts_in_plain_shells(cohort):
    cohort.make(6)
    arguments = ["run", "--plan", cohort.plan, "-o", cohort.output, "--scratch", cohort.folder / "scratch"]
    shells = [subprocess.Popen([*COMMAND, *arguments, "--part", f"{number}/2"]) for number in (1, 2)]
    assert [shell.wait(timeout=300) for shell in shells] == [0, 0]
    cohort.assert_each_series_once_as_by_run()


@pytest.mark.parametrize(("series", "kills"), [(6, 4), pytest.param(1000, 100, marks=pytest.mark.slow)])
def test_kills_at_random_moments_lose_nothing_and_do_nothing_twice(series, kills, cohort):
    cohort.make(series, slices=12, size=(32, 32))
    rng, parts = random.Random(0), ("1/2", "2/2")
    processes = {part: cohort.start(part) for part in parts}
    for _ in range(kills):
        time.sleep(rng.uniform(0.05, 0.4))
        part = rng.choice(parts)
        processes[part].kill()
        processes[part].join()
        processes[part] = cohort.start(part)
    for process in processes.values():
        process.join()
        assert process.exitcode == 0
    left = [path.stem for path in cohort.state.glob("failed/*.json")]
    assert len(left) <= kills / 2  # two kills in a row that met the same series: it is left, as if it were to blame
    for name in left:
        (cohort.state / "failed" / f"{name}.json").unlink()
    cohort.run()
    cohort.assert_each_series_once_as_by_run()


def test_overlapping_processes_do_nothing_twice(cohort):
    cohort.make(6, slices=6)
    processes = [cohort.start() for _ in range(3)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    cohort.assert_each_series_once_as_by_run()


def test_a_series_that_crashed_two_processes_is_left_and_the_others_are_done(cohort):
    cohort.make(3, slices=20, size=(96, 96))
    (first, *_) = cohort.entries()
    state = SeriesState(cohort.output, first.id)
    for number in (1, 2):
        process = cohort.start()
        wait_for(lambda number=number: len(state.attempts()) == number)
        process.kill()
        process.join()
    outcomes = {outcome.id: outcome for outcome in cohort.run()}
    assert outcomes[first.id].status == "failed"
    assert "2 processes died" in outcomes[first.id].reason
    assert sorted(outcome.status for outcome in outcomes.values()) == ["complete", "complete", "failed"]
    assert len(state.failure().attempts) == 2
    assert cohort.run()[0].reason == outcomes[first.id].reason  # it stays left
    (cohort.state / "failed" / f"{first.id}.json").unlink()
    assert {outcome.status for outcome in cohort.run()} == {"complete"}
    cohort.assert_each_series_once_as_by_run()


def test_a_process_that_is_to_stop_keeps_its_slices_for_another_machine(cohort):
    cohort.make(1, slices=8)
    asked = []

    def stop() -> bool:
        asked.append(True)
        return len(asked) > 4

    (outcome,) = cohort.run(stop=stop)
    assert outcome.status == "stopped"
    (manifest,) = cohort.state.glob("unfinished/*/*/manifest.json")
    begun = json.loads(manifest.read_text())
    assert begun["status"] == "interrupted"
    assert 0 < len(begun["slices"]) < 8
    assert list((cohort.folder / "scratch").glob("*/*")) == []
    assert cohort.run()[0].status == "complete"
    (manifest,) = cohort.output.glob("*/*/manifest.json")
    slices = json.loads(manifest.read_text())["slices"]
    assert all(record in slices for record in begun["slices"])  # with the seconds they took
    assert list(cohort.state.glob("unfinished/*")) == []
    cohort.assert_each_series_once_as_by_run()


def test_what_was_begun_and_cannot_be_continued_is_done_anew(cohort):
    cohort.make(1, slices=8)
    asked: list[bool] = []
    cohort.run(stop=lambda: asked.append(True) or len(asked) > 4)
    (path,) = cohort.state.glob("unfinished/*/*/manifest.json")
    manifest = json.loads(path.read_text())
    manifest["operation"]["parameters"]["environment"]["hardware"] = "another processor"
    path.write_text(json.dumps(manifest))
    assert cohort.run()[0].status == "complete"
    cohort.assert_each_series_once_as_by_run()


def test_what_was_begun_for_another_device_is_not_in_the_result(cohort):
    cohort.make(1, slices=8)
    asked: list[bool] = []
    settings = replace(cohort.settings, device="auto")
    work = (cohort.entries(), cohort.plan, cohort.output, settings)
    (outcome,) = run_here(*work, lambda: asked.append(True) or len(asked) > 4)
    assert outcome.status == "stopped"
    assert cohort.run()[0].status == "complete"
    cohort.assert_each_series_once_as_by_run()


@pytest.mark.slow
def test_ctrl_c_stops_after_a_slice(cohort):
    cohort.make(1, slices=60, size=(96, 96))
    command = [*COMMAND, "run", "--plan", cohort.plan, "-o", cohort.output, "--scratch", cohort.folder / "scratch"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: list((cohort.folder / "scratch").rglob("0002.dcm")))
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "1 stopped" in stdout
    assert "the same command continues" in stderr
    assert "Traceback" not in stderr
    assert list(cohort.state.glob("attempts/*")) == []


def test_slices_that_fail_cost_exit_code_1_and_nothing_else(call, cohort):
    cohort.make(2, slices=3)
    path = next(cohort.source.rglob("IMG002"))
    path.write_bytes(path.read_bytes()[:-500])
    cohort.write_plan()
    result = call("cohort", "run", "--plan", cohort.plan, "-o", cohort.output)
    assert result.returncode == 1
    assert "1 complete, 0 there already, 1 incomplete" in result.stdout
    assert "IMG002: PixelData (7FE0,0010)" in result.stderr
    assert sorted(record["slices"] for record in cohort.records().values()) == [2, 3]
    status = call("cohort", "status", "--plan", cohort.plan, "-o", cohort.output)
    assert status.returncode == 1
    assert "1 done, 0 running, 0 missing, 1 incomplete, 0 failed" in status.stdout


def test_a_series_without_a_result_is_tried_again(call, cohort):
    cohort.make(1, slices=2)
    moved = cohort.source.rename(cohort.folder / "elsewhere")
    result = call("cohort", "run", "--plan", cohort.plan, "-o", cohort.output, "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout)["failed"] == 1
    moved.rename(cohort.source)
    assert call("cohort", "run", "--plan", cohort.plan, "-o", cohort.output).returncode == 0
    assert list(cohort.state.glob("failed/*")) == []


def test_another_model_of_the_same_name_is_refused(call, cohort):
    cohort.make(1)
    cohort.plan.write_text(re.sub(r'"sha256":"\w{64}"', f'"sha256":"{"0" * 64}"', cohort.plan.read_text()))
    result = call("cohort", "run", "--plan", cohort.plan, "-o", cohort.output)
    assert result.returncode == 1
    assert "expected the model that the plan was made for" in result.stderr
    assert list(cohort.state.glob("failed/*")) + list(cohort.state.glob("attempts/*")) == []


def test_wrong_use_is_said(call, cohort):
    cohort.make(1)
    run = ("cohort", "run", "--plan", cohort.plan, "-o")
    assert "must not be inside the input" in call(*run, cohort.source / "out").stderr
    assert "expected K/N" in call(*run, cohort.output, "--part", "3/2").stderr
    assert call(*run, cohort.output, "--workers", 2).returncode == 2
    assert "No such file" in call("cohort", "status", "--plan", cohort.folder / "no", "-o", cohort.output).stderr
    assert "found nothing there" in call("cohort", "collect", cohort.output, "-o", cohort.folder / "t.csv").stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="making a folder of another user needs root")
def test_scratch_of_another_user_is_refused(cohort):
    cohort.make(1)
    squatted = cohort.folder / "scratch" / f"ctdenoise-cohort-{os.getuid()}"
    squatted.mkdir(parents=True)
    os.chown(squatted, 12345, 12345)
    with pytest.raises(Exception, match="only you can read"):
        cohort.run()


def test_deidentified_results_have_no_names(cohort, call):
    source = make_series(cohort.source / "PLANTED")
    (source / "IMG001").rename(source / "PLANTED-1")
    plan = ("cohort", "plan", cohort.source, "-o", cohort.plan, "--model", cohort.model, "--deidentify", "--jobs", 1)
    assert call(*plan).returncode == 0
    path = source / "PLANTED-1"
    path.write_bytes(path.read_bytes()[:-500])
    result = call("cohort", "run", "--plan", cohort.plan, "-o", cohort.output)
    assert result.returncode == 1
    assert "PLANTED" not in result.stdout + result.stderr
    for path in cohort.output.rglob("*"):
        assert "PLANTED" not in path.name
        assert path.is_dir() or not {b"PLANTED", b"SECRET"} & set(re.findall(rb"PLANTED|SECRET", path.read_bytes()))


def test_status_and_collect_tell_what_was_done(call, cohort, tmp_path):
    cohort.make(3, slices=40, size=(96, 96))
    status = ("cohort", "status", "--plan", cohort.plan, "-o", cohort.output)
    assert "0 done, 0 running, 3 missing" in call(*status).stdout
    cohort.run("1/3")
    process = cohort.start("2/3")
    wait_for(lambda: any(SeriesState(cohort.output, entry.id).is_locked() for entry in cohort.entries("2/3")))
    seen = json.loads(call(*status, "--json").stdout)
    process.kill()
    process.join()
    assert (seen["done"], seen["running"], seen["missing"]) == (1, 1, 1)
    assert seen["eta_seconds"] == pytest.approx(80 * seen["seconds_per_slice"], abs=0.1)
    assert "1 done, 0 running, 2 missing" in call(*status).stdout
    cohort.run()
    assert call(*status).returncode == 0
    for name in ("t.csv", "t.parquet"):
        assert "3 series" in call("cohort", "collect", cohort.output, "-o", tmp_path / name).stdout
    with (tmp_path / "t.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [row["status"] for row in table] == ["complete"] * 3
    assert {row["strength"] for row in table} == {"1.0"}
    assert all(float(row["seconds"]) > 0 and row["slices"] == "40" for row in table)
    parquet = pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert [row["id"] for row in parquet] == [row["id"] for row in table]


def test_noise_before_and_after_is_measured(cohort, data):
    (path, *_) = sorted((data / "ct").iterdir())
    cohort.source.mkdir()
    for file in sorted(path.glob("*.dcm"))[:2]:
        (cohort.source / file.name).symlink_to(file)
    cohort.write_plan(strength=0.1)  # the small model was not trained and leaves nothing to measure
    assert cohort.run()[0].status == "complete"
    (record,) = cohort.records().values()
    assert record["noise_before_hu"] > 0
    assert record["noise_after_hu"] > 0


def test_commands_that_only_look_import_nothing_heavy(cohort):
    cohort.make(1)
    cohort.run()
    for command in (
        ("status", "--plan", cohort.plan, "-o", cohort.output),
        ("slurm", "--plan", cohort.plan, "-o", cohort.output),
        ("collect", cohort.output, "-o", "t.csv"),
    ):
        _, packages = start("cohort", *command, cwd=cohort.folder)
        assert not packages & HEAVY


@pytest.mark.slow
def test_the_batch_script_goes_on_after_the_wall_time(call, cohort):
    """The script in a shell, with a note of what is asked of scontrol in place of Slurm."""
    cohort.make(1, slices=100, size=(96, 96))
    printed = call("cohort", "slurm", "--plan", cohort.plan, "-o", cohort.output, "--parts", 50).stdout
    assert "#SBATCH --array=1-1%1" in printed
    assert "--requeue" in printed
    assert "--gpus" not in printed
    (cohort.folder / "job.sbatch").write_text(printed)
    scontrol = cohort.folder / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {cohort.folder}/asked\n')
    scontrol.chmod(0o755)
    task = {f"SLURM_ARRAY_TASK_{name}": "1" for name in ("ID", "MIN", "COUNT")}
    environment = {
        **os.environ,
        **task,
        "SLURM_ARRAY_JOB_ID": "77",
        "PATH": f"{scontrol.parent}:{os.environ['PATH']}",
        "TMPDIR": str(cohort.folder),
    }
    shell = subprocess.Popen(
        ["bash", "job.sbatch"],
        cwd=cohort.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: list(cohort.folder.glob("ctdenoise-cohort-*/*/out/*/0002.dcm")))
    shell.terminate()
    stdout, stderr = shell.communicate(timeout=120)
    assert shell.returncode == 75, stderr
    assert "1 stopped" in stdout
    assert "the same command continues" in stderr
    assert (cohort.folder / "asked").read_text() == "requeue 77_1\n"
    assert cohort.run()[0].status == "complete"
