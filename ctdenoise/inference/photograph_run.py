"""The runner for photographs, as a whole."""

from __future__ import annotations

import time
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from ctdenoise.inference.denoising import Denoising
from ctdenoise.inference.file_run import FilePlan, FileRun
from ctdenoise.inference.manifest import SliceRecord
from ctdenoise.inference.operations import SeriesSample
from ctdenoise.io.images import Photograph, read_image


class PhotographRun(FileRun):
    """Denoises a photograph; the request's denoiser must be for photographs."""

    kind = "photograph"

    def read(self) -> Photograph:
        """Read the photograph."""
        return read_image(self.source)

    def slices(self, source: Photograph) -> int:
        """Return 1."""
        return 1

    def sample(self, source: Photograph) -> SeriesSample:
        """Return nothing: no parameter is measured in photographs, and eager runs single images fastest."""
        return SeriesSample([], [], 1)

    def process(self, plan: FilePlan) -> NDArray[np.float32]:
        """Denoise all channels."""
        assert isinstance(plan.operation, Denoising)
        began = time.perf_counter()
        result = plan.operation.denoiser.process_image(plan.source.values, strength=plan.operation.strength)
        if result.noise.level:
            plan.manifest.operation.measured["noise_level"] = asdict(result.noise.level)
        if result.noise.correlation:
            plan.manifest.operation.measured["noise"] = asdict(result.noise.correlation)
        seconds = round(time.perf_counter() - began, 3)
        plan.manifest.slices.append(
            SliceRecord(
                file=self.target.name,
                source_uid="0",
                source_sha256="",
                derived_uid="",
                clipped=0,
                padding=0,
                seconds=seconds,
            )
        )
        self.progress.advance()
        return result.image
