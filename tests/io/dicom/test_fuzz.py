"""Damaged files cost an error of ours, never another, nor minutes, nor memory."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import read_slice
from tests.conftest import DATA, REPOSITORY, make_series
from tests.io.dicom.mutation import mutate, survive


def seeds() -> list[Path]:
    flavours = DATA / "dicom-flavours"
    found = sorted(p for p in flavours.rglob("*") if p.is_file() and p.stat().st_size < 2**20)
    return found[::3]


def test_mutated_slices_are_read_or_refused(tmp_path):
    make_series(tmp_path / "in", slices=1)
    content = (tmp_path / "in" / "IMG001").read_bytes()
    rng = np.random.default_rng(0)
    for number in range(400):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(mutate(content, rng))
        survive(path)
        path.unlink()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_flavours_neither_crash_nor_hang_nor_fill_memory(count, data, tmp_path):
    call = [sys.executable, "-m", "tests.io.dicom.mutation", "0", str(count), tmp_path / "mutated.dcm", *seeds()]
    result = subprocess.run(call, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert result.returncode == 0, result.stderr[-3000:]
    assert int(result.stdout.split()[-1]) < 2**20  # KiB


def promise(rows: int, columns: int, frames: int | None = None):
    def edit(image, _):
        image.Rows, image.Columns = rows, columns
        if frames:
            image.NumberOfFrames = frames

    return edit


def test_headers_that_promise_more_than_memory_are_refused(tmp_path):
    make_series(tmp_path, slices=1, edit=promise(65535, 65535))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"expected pixel data for 65535 × 65535 × 1 pixels, found 2880 bytes"):
        read_slice(tmp_path / "IMG001")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18
