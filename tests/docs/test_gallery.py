"""The gallery: one command makes its page and every picture on it, from simulated scans."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ctdenoise import Denoiser
from tests.conftest import REPOSITORY

GALLERY = REPOSITORY / "docs" / "gallery"


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(GALLERY))
    from bench import Bench

    return Bench(tmp_path, Denoiser.from_pretrained("ct-lowdose-lite"), 160)


def test_what_captions_state_follows_the_images(bench):
    exact = bench.truth
    assert bench.error(exact) == 0
    assert bench.error(exact + 3) == pytest.approx(3)
    assert bench.error(bench.scans[0.1]) > bench.error(bench.scans[1.0])
    # A denoiser that leaves everything keeps all of the lesions, one that halves the image half of them.
    bench.denoised = lambda image: image
    assert bench.lesions_left(0.1) == pytest.approx(1)
    del bench.cleaned
    bench.denoised = lambda image: np.float32(0.5) * image
    assert bench.lesions_left(0.1) == pytest.approx(0.5, abs=1e-3)


def test_a_section_draws_its_picture_and_states_what_it_measured(bench):
    from failures import lost_lesion

    caption = lost_lesion(bench)
    assert "{" not in caption
    error, left = re.search(r"the error in soft\ntissue is (\d+) HU; strength 1 leaves ([\d.]+) HU", caption).groups()
    assert float(left) < float(error)
    assert int(re.search(r"and (\d+) %\nof the contrast", caption)[1]) < 100
    with Image.open(bench.folder / "lost-lesion.png") as picture:
        assert picture.width > 4 * picture.height / 1.5  # four images side by side


@pytest.mark.slow
def test_the_command_makes_the_page_with_every_picture(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    environment.pop("CTDENOISE_TEST_DATA", None)
    command = [sys.executable, str(GALLERY / "make.py"), "-o", str(tmp_path / "out"), "--model", "ct-lowdose-lite"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    page = (tmp_path / "out" / "index.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\((\S+\.png)\)", page))
    assert shown == {path.name for path in (tmp_path / "out").glob("*.png")}
    assert len(shown) == 8
    assert "What `ct-lowdose-lite` does" in page
    assert "A real scan" not in page  # without CTDENOISE_TEST_DATA
