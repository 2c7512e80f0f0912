"""The same plan on workers of dask that die."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from distributed import Client, LocalCluster

from ctdenoise.cohort.dask_run import run_on_dask
from tests.cohort.conftest import Cohort


def start(cohort: Cohort, workers: int, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ctdenoise", "cohort", "run", "--plan", cohort.plan, "-o", cohort.output]
    command += ["--scratch", cohort.folder / "scratch", "--executor", "dask", "--workers", str(workers), *arguments]
    return subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def working(cohort: Cohort, parent: int) -> list[int]:
    """Return the processes that work on a series and are children of a process."""
    found = []
    for path in cohort.state.glob("attempts/*.json"):
        with suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(json.loads(path.read_text())["process"])
            if parent in [ancestor.pid for ancestor in process.parents()]:
                found.append(process.pid)
    return found


@pytest.mark.parametrize(("series", "workers", "kills"), [(8, 2, 1), pytest.param(1000, 4, 40, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_workers_that_die_lose_nothing_and_nothing_is_done_twice(series, workers, kills, cohort):
    cohort.make(series, slices=12, size=(64, 64))
    rng, killed = random.Random(0), 0
    process = start(cohort, workers)
    while killed < kills and process.poll() is None:
        if victims := working(cohort, process.pid):
            os.kill(rng.choice(victims), signal.SIGKILL)
            killed += 1
            time.sleep(rng.uniform(1, 3))
        time.sleep(0.01)
    stdout, stderr = process.communicate(timeout=2700)  # two cores process one or two of the 1,000 in a second
    assert killed == kills, stdout + stderr
    left = list(cohort.state.glob("failed/*.json"))
    assert len(left) <= kills / 2  # met by two kills in a row
    assert process.returncode == (1 if left else 0), stdout + stderr
    for path in left:
        path.unlink()
    # A series is there already where its worker died after the result was published, before dask heard of it.
    complete, there = (int(count) for count in re.findall(r"(\d+) (?:complete|there already)", stdout))
    assert complete + there == series - len(left)
    assert there <= kills
    cohort.run()
    cohort.assert_each_series_once_as_by_run()


def test_workers_come_and_go_and_a_wish_to_stop_ends_all(cohort):
    """On a cluster that somebody else runs: threads of this process, which share their state."""
    cohort.make(6, slices=10, size=(64, 64))
    asked = []
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        arguments = (cohort.entries(), cohort.plan, cohort.output, cohort.settings)
        options = {"scheduler": cluster.scheduler_address, "workers": 1, "threads": 1, "configure": nothing}
        first = []
        for outcome in run_on_dask(*arguments, lambda: bool(asked), **options):
            first.append(outcome)
            asked.append(True)
        assert "stopped" in {outcome.status for outcome in first}
        assert len({outcome.id for outcome in first}) == 6
        second = run_on_dask(*arguments, lambda: False, **options)
        outcomes = [next(second)]
        cluster.scale(2)
        outcomes += second
        assert {outcome.status for outcome in outcomes} == {"complete"}
        with Client(cluster) as client:
            assert client.run(lambda dask_worker: list(dask_worker.plugins)).values()
    assert list(cohort.state.glob("attempts/*")) == []
    cohort.assert_each_series_once_as_by_run()


def nothing() -> None:
    """Configure nothing: the process is that of the tests."""


def test_an_absent_scheduler_is_said(call, cohort, monkeypatch):
    cohort.make(1)
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    run = ("cohort", "run", "--plan", cohort.plan, "-o", cohort.output, "--executor", "dask")
    result = call(*run, "--scheduler", "here")
    assert result.returncode == 1
    assert "expected the address of a dask scheduler" in result.stderr
    assert not Path(cohort.output).exists()
