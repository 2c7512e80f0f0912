"""A cohort of tiny series, a small model, and its plan."""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydicom import dcmread

from ctdenoise.cli import main
from ctdenoise.cohort.outcome import Outcome, WorkSettings
from ctdenoise.cohort.part_run import run_here
from ctdenoise.cohort.parts import Part
from ctdenoise.cohort.plan import PlanEntry, PlannedOptions, read_plan
from ctdenoise.cohort.planning import planned_model, write_plan
from ctdenoise.inference import Denoiser, RunOptions, denoise
from ctdenoise.models import NetworkConfig, build_network, zoo
from tests.conftest import make_series
from tests.models.test_zoo import DESCRIPTION


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


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("zoo") / "small"
    network = build_network(NetworkConfig(**DESCRIPTION["network"]), seed=0)
    zoo.save_model(network, folder, **DESCRIPTION)
    return folder


@dataclass
class Cohort:
    """Inputs, model, plan and output of a cohort in a temporary folder."""

    folder: Path
    model: Path

    @property
    def source(self) -> Path:
        return self.folder / "in"

    @property
    def plan(self) -> Path:
        return self.folder / "plan.jsonl"

    @property
    def output(self) -> Path:
        return self.folder / "out"

    @property
    def state(self) -> Path:
        return self.output / ".cohort"

    @property
    def settings(self) -> WorkSettings:
        return WorkSettings(device="cpu", scratch=self.folder / "scratch")

    def make(self, series: int, *, slices: int = 2, **options: Any) -> None:
        """Write series and their plan."""
        for number in range(series):
            make_series(self.source / f"p{number % 3}" / f"s{number}", slices=slices, **options)
        self.write_plan()

    def write_plan(self, strength: float = 1.0) -> None:
        options, model = PlannedOptions(strength=strength), planned_model(str(self.model))
        write_plan([self.source], self.plan, model=model, options=options, processes=1)

    def entries(self, part: str = "1/1") -> list[PlanEntry]:
        return Part.parse(part).of(read_plan(self.plan))

    def run(self, part: str = "1/1", *, stop: Callable[[], bool] = lambda: False) -> list[Outcome]:
        """Process a part in this process."""
        return list(run_here(self.entries(part), self.plan, self.output, self.settings, stop))

    def start(self, part: str = "1/1") -> multiprocessing.Process:
        """Process a part in a process of its own."""
        process = multiprocessing.get_context("fork").Process(target=self._run_alone, args=(part,))
        process.start()
        return process

    def _run_alone(self, part: str) -> None:
        torch.set_num_threads(1)
        self.run(part)

    def records(self) -> dict[str, dict[str, Any]]:
        return {path.parent.name: json.loads(path.read_text()) for path in self.output.glob("*/series.json")}

    def assert_each_series_once_as_by_run(self) -> None:
        """Each series has one result, whose UIDs and pixels are those of ``ctdenoise run``."""
        assert sorted(self.records()) == sorted(entry.id for entry in self.entries())
        denoiser = Denoiser.from_pretrained(self.model, device="cpu")
        for number, series in enumerate(self.source.glob("*/*/")):
            target = self.folder / "by-run" / str(number)
            denoise(series, target, model=denoiser, options=RunOptions(strength=1.0))
        expected = pixels(self.folder / "by-run")
        found = pixels(self.output)
        assert found.keys() == expected.keys()
        for uid, values in expected.items():
            np.testing.assert_array_equal(found[uid], values)


def pixels(folder: Path) -> dict[str, np.ndarray]:
    """Return stored values by SOP Instance UID; each occurs once."""
    images = [dcmread(path) for path in folder.rglob("[0-9]*.dcm")]
    found = {str(image.SOPInstanceUID): image.pixel_array for image in images}
    assert len(found) == len(images)
    return found


@pytest.fixture
def cohort(tmp_path, model) -> Cohort:
    return Cohort(tmp_path, model)
