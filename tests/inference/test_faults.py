"""Whatever breaks, whole files alone have their names, the manifest tells, and the same command finishes the rest."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ctdenoise.errors import InputError
from ctdenoise.inference import Denoiser, RunOptions, denoise_folder
from ctdenoise.io.dicom import discover, read_slice
from tests.conftest import Halve, make_series
from tests.io.dicom.test_deidentify import IDENTIFIER, NAME, plant


class Greedy(torch.nn.Module):
    """Has memory for two slices at once, or for as many as told."""

    def __init__(self, most: int = 2) -> None:
        super().__init__()
        self.most = most
        self.seen: list[int] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if len(image) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        self.seen.append(len(image))
        return image


def test_a_batch_that_does_not_fit_is_halved_and_the_run_goes_on(tmp_path):
    make_series(tmp_path / "in", slices=9)
    network = Greedy()
    (result,) = denoise_folder(Denoiser(network, batch_size=8), tmp_path / "in", tmp_path / "out").results
    assert result.manifest["status"] == "complete"
    assert result.manifest["batch_size"] == 2
    assert set(network.seen) == {1, 2}


def test_a_slice_that_does_not_fit_at_all_is_refused_with_what_to_do(tmp_path):
    make_series(tmp_path / "in", slices=2)
    (result,) = denoise_folder(Denoiser(Greedy(0), batch_size=4), tmp_path / "in", tmp_path / "out").results
    assert result.manifest["status"] == "incomplete"
    reasons = {entry["reason"] for entry in result.manifest["failed"]}
    assert reasons == {"not enough memory for one slice of 40×36; try --device cpu"}


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if not shutil.which("mount") or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", folder], check=False)
    if mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_costs_nothing_that_is_written_and_the_rest_follows(tmp_path, small_disk, halve):
    make_series(tmp_path / "in", slices=8, size=(128, 128))  # 33 kB each
    with pytest.raises(InputError, match=r"cannot be written.*free space"):
        denoise_folder(halve, tmp_path / "in", small_disk / "out")
    written = list(small_disk.rglob("[0-9]*.dcm"))
    assert 0 < len(written) < 8
    for path in written:
        assert read_slice(path).hu.shape == (128, 128)
    times = {path: path.stat().st_mtime_ns for path in written}
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    (result,) = denoise_folder(halve, tmp_path / "in", small_disk / "out").results
    assert result.manifest["status"] == "complete"
    assert len(discover(small_disk / "out").series[0].slices) == 8
    assert sum(path.stat().st_mtime_ns != when for path, when in times.items()) <= 1


def test_a_file_that_vanishes_during_the_run_is_refused_alone(tmp_path):
    make_series(tmp_path / "in", slices=12)

    class Vanish(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            (tmp_path / "in" / "IMG001").unlink(missing_ok=True)  # the last in slice order
            return image

    (result,) = denoise_folder(Denoiser(Vanish()), tmp_path / "in", tmp_path / "out").results
    assert result.manifest["status"] == "incomplete"
    (failure,) = result.manifest["failed"]
    assert failure["file"] == "IMG001"
    assert "No such file" in failure["reason"]
    assert len(result.manifest["slices"]) == 11


def work(source: Path, output: Path) -> None:
    torch.set_num_threads(1)
    denoise_folder(Denoiser(Halve()), source, output)


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_kills_at_random_moments_leave_whole_files_and_lose_nothing(kills, tmp_path):
    slices = max(40, kills)
    make_series(tmp_path / "in", slices=slices, size=(64, 64))
    context, rng = multiprocessing.get_context("fork"), random.Random(0)
    repeated, done = 0, {}
    for _ in range(kills):
        process = context.Process(target=work, args=(tmp_path / "in", tmp_path / "out"))
        process.start()
        time.sleep(rng.uniform(0.05, 0.4))
        process.kill()
        process.join()
        for path in (tmp_path / "out").rglob("[0-9]*.dcm"):
            when = path.stat().st_mtime_ns
            if done.get(path) != when:
                repeated += path in done
                assert read_slice(path).hu.shape == (64, 64)
            done[path] = when
    assert repeated <= kills  # at most the one each kill caught between its file and its record
    (result,) = denoise_folder(Denoiser(Halve()), tmp_path / "in", tmp_path / "out").results
    assert len(result.manifest["slices"]) == slices
    expected = Denoiser(Halve())
    (whole,) = denoise_folder(expected, tmp_path / "in", tmp_path / "other").results
    for record in whole.manifest["slices"]:
        one, other = (read_slice(folder / record["file"]) for folder in (result.folder, whole.folder))
        np.testing.assert_array_equal(one.stored, other.stored)
    assert not [path for path in result.folder.iterdir() if path.name.startswith(".")]


def test_another_model_or_option_is_told_and_kept_apart(tmp_path, identity, halve):
    make_series(tmp_path / "in", slices=2)
    (first,) = denoise_folder(identity, tmp_path / "in", tmp_path / "out").results
    (second,) = denoise_folder(halve, tmp_path / "in", tmp_path / "out").results
    rle = RunOptions(transfer_syntax="rle")
    (third,) = denoise_folder(halve, tmp_path / "in", tmp_path / "out", options=rle).results
    assert first.manifest["beside"] == []
    assert second.manifest["beside"] == [first.folder.name]
    assert third.manifest["beside"] == sorted([first.folder.name, second.folder.name])


@pytest.mark.parametrize("deidentify", [False, True])
def test_random_uids_go_on_after_a_cut_and_leave_no_trace_of_their_source(deidentify, tmp_path):
    make_series(tmp_path / "in", slices=6)

    class Stop(torch.nn.Module):
        left = 3

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return image

    options, network = RunOptions(random_uids=True, deidentify=deidentify), Stop()
    with pytest.raises(KeyboardInterrupt):
        denoise_folder(Denoiser(network), tmp_path / "in", tmp_path / "out", options=options)
    network.left = 10
    (result,) = denoise_folder(Denoiser(network), tmp_path / "in", tmp_path / "out", options=options).results
    assert result.written < 6
    (series,) = discover(result.folder).series
    assert len(series.slices) == 6
    assert "salt" not in result.manifest["derived"]
    (again,) = denoise_folder(Denoiser(network), tmp_path / "in", tmp_path / "out", options=options).results
    assert again.written == 0
    (result.folder / "0001.dcm").unlink()  # what the others' UIDs came from is forgotten, so all are written again
    network.left = 10
    (anew,) = denoise_folder(Denoiser(network), tmp_path / "in", tmp_path / "out", options=options).results
    assert anew.written == 6
    network.left = 10
    (other,) = denoise_folder(Denoiser(network), tmp_path / "in", tmp_path / "again", options=options).results
    assert other.manifest["derived"]["series_uid"] != result.manifest["derived"]["series_uid"]


def leave_out(*keywords: str):
    def edit(image, index):
        plant(image, index)
        for keyword in keywords:
            if keyword in image:
                del image[keyword]

    return edit


def test_nothing_of_a_patient_is_in_what_is_told_or_in_any_name(tmp_path, capsys, halve):
    """In manifests, journals, printed lines, file and folder names; with --deidentify in the images neither."""
    make_series(tmp_path / "in" / "a", slices=3, edit=plant)
    make_series(tmp_path / "in" / "b", slices=1, edit=leave_out("RescaleSlope"))
    make_series(tmp_path / "in" / "c", slices=1, edit=leave_out("PixelData"))
    broken = (tmp_path / "in" / "a" / "IMG001").read_bytes()
    (tmp_path / "in" / "cut").write_bytes(broken[: len(broken) // 2])
    (tmp_path / "in" / "odd").write_bytes(broken.replace(b"ImagePosition", b"x").replace(b"\\-", NAME.encode()[:2]))
    for options in (RunOptions(), RunOptions(deidentify=True)):
        output = tmp_path / f"out{options.deidentify}"
        outcome = denoise_folder(halve, tmp_path / "in", output, options=options)
        assert outcome.failed
        told = [json.dumps([r.manifest for r in outcome.results]), str(outcome.skipped), *capsys.readouterr()]
        told += [str(path.relative_to(output)) for path in output.rglob("*")]
        for path in output.rglob("*"):
            if path.is_file() and (options.deidentify or path.suffix != ".dcm"):
                told.append(path.read_bytes().decode("latin-1"))
        for text in told:
            assert NAME not in text
            assert IDENTIFIER not in text
