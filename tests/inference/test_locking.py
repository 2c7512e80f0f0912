"""Two processes on one output end as one; on two outputs they do not wait; a dead process blocks nobody."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import torch
from pydicom import dcmread

from ctdenoise.inference import Denoiser, RunOptions, denoise
from ctdenoise.inference.locking import output_lock
from ctdenoise.inference.manifest import MANIFEST, read_manifest
from tests.conftest import Messages, make_series, run_series

SPAWN = multiprocessing.get_context("spawn")
SLICES = 12
#: Longest that a test waits for another process, seconds.
PATIENCE = 120


class Steps(torch.nn.Module):
    """Counts the slices that it has seen in a folder, and at the third waits until it may go on."""

    def __init__(self, seen: Path, may_go_on: Path | None) -> None:
        super().__init__()
        self.seen, self.may_go_on, self.calls = seen, may_go_on, 0
        seen.mkdir(parents=True, exist_ok=True)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        (self.seen / f"{os.getpid()}-{self.calls}").touch()
        if self.calls == 3 and self.may_go_on:
            wait_until(self.may_go_on.exists)
        return image / 2

    def __repr__(self) -> str:
        return "Steps()"  # the same network in every process


def wait_until(condition: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def work(source: Path, output: Path, seen: Path, may_go_on: Path | None, queue: Queue[Any]) -> None:
    torch.set_num_threads(1)
    messages = Messages()
    try:
        options = RunOptions(strength=1.0)
        outcome = denoise(source, output, model=Denoiser(Steps(seen, may_go_on)), options=options, progress=messages)
        queue.put(([r.written for r in outcome.results], messages.texts))
    except Exception as error:  # reported by the test
        queue.put((repr(error), messages.texts))


def started(*arguments: Any) -> Any:
    process = SPAWN.Process(target=work, args=arguments)
    process.start()
    return process


def lock_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".lock")]


def volume(path: Path) -> Path:
    values = np.random.default_rng(0).integers(-100, 100, (SLICES, 20, 24)).astype(np.int16)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), path)
    return path


@pytest.mark.parametrize("kind", ["series", pytest.param("volume", marks=pytest.mark.slow)])
def test_two_processes_on_one_output_end_as_one(kind, tmp_path):
    source = make_series(tmp_path / "in", slices=SLICES) if kind == "series" else volume(tmp_path / "in.nrrd")
    output, go_on, queue = tmp_path / "out", tmp_path / "go on", SPAWN.Queue()
    first = started(source, output, tmp_path / "seen 1", go_on, queue)
    wait_until(lambda: len(list((tmp_path / "seen 1").glob("*"))) >= 3)
    second_queue: Queue[Any] = SPAWN.Queue()
    second = started(source, output, tmp_path / "seen 2", None, second_queue)
    wait_until((tmp_path / "seen 2").exists)
    time.sleep(1)  # long enough to begin, were it not for the lock
    assert not list((tmp_path / "seen 2").glob("*"))
    go_on.touch()
    first_result, second_result = queue.get(timeout=PATIENCE), second_queue.get(timeout=PATIENCE)
    for process in (first, second):
        process.join(PATIENCE)
        assert process.exitcode == 0
    assert first_result == ([SLICES], [])
    assert second_result[0] == [0]
    (text,) = second_result[1]
    assert "another process is writing it; waiting until it has finished" in text
    assert not list((tmp_path / "seen 2").glob("*"))  # each slice was computed once
    assert lock_files(tmp_path) == []


@pytest.mark.slow
def test_processes_that_start_together_end_as_one(tmp_path):
    source, queue = make_series(tmp_path / "in", slices=SLICES), SPAWN.Queue()
    processes = [started(source, tmp_path / "out", tmp_path / "seen", None, queue) for _ in range(3)]
    written = [queue.get(timeout=PATIENCE)[0] for _ in processes]
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0
    assert sorted(written) == [[0], [0], [SLICES]]
    assert len(list((tmp_path / "seen").glob("*"))) == SLICES
    (folder,) = (tmp_path / "out").iterdir()
    manifest = read_manifest(folder / MANIFEST)
    assert manifest is not None
    assert (manifest.status, len(manifest.slices)) == ("complete", SLICES)
    assert {p.name for p in folder.iterdir()} == {MANIFEST, *(f"{i:04d}.dcm" for i in range(1, SLICES + 1))}
    assert len({dcmread(p).SOPInstanceUID for p in folder.glob("*.dcm")}) == SLICES


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path):
    source, queue = make_series(tmp_path / "in", slices=SLICES), SPAWN.Queue()
    process = started(source, tmp_path / "out", tmp_path / "seen", tmp_path / "never", queue)
    wait_until(lambda: len(list((tmp_path / "seen").glob("*"))) >= 3)
    assert lock_files(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.join(PATIENCE)
    assert lock_files(tmp_path)  # nobody has removed it
    messages = Messages()
    result = run_series(Denoiser(Steps(tmp_path / "seen again", None)), source, tmp_path / "out", progress=messages)
    assert len(result.manifest.slices) == SLICES
    assert messages.texts == []
    assert lock_files(tmp_path) == []
    assert not [path for path in result.folder.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_two_series_of_one_output_do_not_wait_for_each_other(tmp_path):
    one = make_series(tmp_path / "one", slices=SLICES)
    other = make_series(tmp_path / "other", slices=SLICES)
    output, go_on, queue = tmp_path / "out", tmp_path / "go on", SPAWN.Queue()
    first = started(one, output, tmp_path / "seen", go_on, queue)
    wait_until(lambda: len(list((tmp_path / "seen").glob("*"))) >= 3)
    messages = Messages()
    result = run_series(Denoiser(Steps(tmp_path / "seen here", None)), other, output, progress=messages)
    assert (result.written, messages.texts) == (SLICES, [])
    assert first.is_alive()
    go_on.touch()
    assert queue.get(timeout=PATIENCE) == ([SLICES], [])
    first.join(PATIENCE)
    assert lock_files(tmp_path) == []


def hold(target: Path, entered: Event, leave: Event) -> None:
    with output_lock(target, Messages()):
        entered.set()
        leave.wait(PATIENCE)


def test_a_lock_is_free_after_an_error_and_leaves_nothing(tmp_path):
    target, messages = tmp_path / "new" / "out", Messages()
    for _ in range(2):
        with pytest.raises(RuntimeError), output_lock(target, messages):
            raise RuntimeError
    assert messages.texts == []
    assert lock_files(tmp_path) == []


@pytest.mark.slow
def test_whoever_waits_gets_the_lock_and_says_that_it_waited(tmp_path):
    entered, leave = SPAWN.Event(), SPAWN.Event()
    process = SPAWN.Process(target=hold, args=(tmp_path / "out", entered, leave))
    process.start()
    assert entered.wait(PATIENCE)

    class LetGo(Messages):
        def message(self, text: str) -> None:
            super().message(text)
            leave.set()

    messages = LetGo()
    with output_lock(tmp_path / "out", messages):
        assert [p.name for p in lock_files(tmp_path)] == [".out.lock"]
    assert len(messages.texts) == 1
    process.join(PATIENCE)
    assert process.exitcode == 0
    assert lock_files(tmp_path) == []
