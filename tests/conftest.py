"""Fixtures shared by tests: real data where present, small CT series, networks with a known result."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from absl import logging as absl_logging
from monai.data import set_track_meta
from pydicom import Dataset
from pydicom.uid import generate_uid

from ctdenoise.inference import Denoiser, RunOptions, SeriesResult, denoise
from ctdenoise.inference.results import Progress
from ctdenoise.io.dicom import write_slice
from ctdenoise.io.dicom.create import NewSeries

REPOSITORY = Path(__file__).parent.parent
DATA = Path(os.environ.get("CTDENOISE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))

#: One thread for each test process and the programs it starts: two of them run side by side, and the number of threads
#: decides how results are rounded.
THREADS = 1
os.environ["OMP_NUM_THREADS"] = str(THREADS)
torch.set_num_threads(THREADS)

Edit = Callable[[Dataset, int], None]


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory) -> Iterator[None]:
    """Keep the user's cache of engine speeds out of the tests, and the tests out of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def open_capture() -> None:
    """Keep absl, which OpenVINO loads, from closing what pytest captures into when a training configures logging."""
    absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture(autouse=True)
def track_meta() -> None:
    """Undo what a training configuration in the same process may have set."""
    set_track_meta(True)


@pytest.fixture(scope="session")
def data() -> Path:
    if not DATA.is_dir():
        pytest.skip(f"no test data at {DATA}; set CTDENOISE_TEST_DATA")
    return DATA


def real_series() -> list[str]:
    """Names of the real series, for parametrisation; one placeholder without data, so that the skip is seen."""
    if not DATA.is_dir():
        return ["absent"]
    return sorted(p.name for p in (DATA / "ct").iterdir() if any(p.glob("*.dcm")))


def make_series(folder: Path, *, slices: int = 3, size: tuple[int, int] = (40, 36), edit: Edit | None = None) -> Path:
    """Write a small CT series with a disc of water in air and some noise; `edit` may change each slice."""
    folder.mkdir(parents=True, exist_ok=True)
    series = NewSeries(
        patient="SECRET^NAME",
        body_part="CHEST",
        study_uid=generate_uid(),
        frame_of_reference_uid=generate_uid(),
        uid=generate_uid(),
        number=7,
        description="Water disc",
        pixel_mm=0.8,
        spacing_mm=2.5,
        kernel="B30f",
        time=datetime(2026, 1, 2, 3, 4, 5),
    )
    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[: size[0], : size[1]]
    disc = (rows - size[0] / 2) ** 2 + (columns - size[1] / 2) ** 2 < (min(size) / 3) ** 2
    for index in range(slices):
        hu = np.where(disc, 0.0, -1000.0) + rng.normal(0, 20, size)
        image = series.slice(index, hu.astype(np.float32))
        if edit:
            edit(image, index)
        write_slice(image, folder / f"IMG{slices - index:03d}")
    return folder


@pytest.fixture
def identity() -> Denoiser:
    return Denoiser(torch.nn.Identity())


class Halve(torch.nn.Module):
    """Moves every pixel half-way to −1024 HU."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image / 2


@pytest.fixture
def halve() -> Denoiser:
    return Denoiser(Halve())


class Messages:
    """Progress that collects the messages of a run."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def start(self, name: str, slices: int, done: int) -> None:
        """Ignore it."""

    def advance(self) -> None:
        """Ignore it."""

    def message(self, text: str) -> None:
        """Keep the message."""
        self.texts.append(text)


def run_series(
    denoiser: Denoiser,
    source: Path,
    output: Path,
    *,
    strength: float | None = 1.0,
    progress: Progress | None = None,
    **options: Any,
) -> SeriesResult:
    """Denoise the only series of an input; options are those of `RunOptions`."""
    asked = RunOptions(strength=strength, **options)
    (result,) = denoise(source, output, model=denoiser, options=asked, progress=progress).results
    return result


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of each file in a folder tree, by its path in it."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
