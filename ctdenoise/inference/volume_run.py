"""The runner for volumes, slice by slice."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ctdenoise.inference.file_run import FilePlan, FileRun
from ctdenoise.inference.manifest import SliceRecord
from ctdenoise.inference.operations import SeriesSample, SliceInfo, SliceOperation
from ctdenoise.inference.parallel import results_in_order
from ctdenoise.inference.strength import sample_indices
from ctdenoise.io.neighbours import neighbour_indices
from ctdenoise.io.volumes import Volume, read_volume


class VolumeRun(FileRun):
    """Processes a volume of HU slice by slice."""

    kind = "volume"

    def read(self) -> Volume:
        """Read the volume."""
        return read_volume(self.source)

    def slices(self, source: Volume) -> int:
        """Return the number of axial planes of all time points."""
        return len(source.hu)

    def sample(self, source: Volume) -> SeriesSample:
        """Return some planes."""
        indices, infos = sample_indices(len(source.hu)), self._infos(source)
        return SeriesSample([source.hu[i] for i in indices], [infos[i] for i in indices], len(source.hu))

    def process(self, plan: FilePlan) -> NDArray[np.float32]:
        """Process the planes in batches."""
        volume: Volume = plan.source
        infos, result = self._infos(volume), np.empty_like(volume.hu)
        neighbours = neighbour_indices(volume.neighbourhood, plan.operation.context)
        size = plan.operation.batch_size
        batches = [slice(first, first + size) for first in range(0, len(infos), size)]
        apply = partial(_apply, plan.operation, volume.hu, neighbours, infos)
        with closing(results_in_order(apply, batches, plan.operation.parallel_calls)) as results:
            for batch, (hu, seconds) in zip(batches, results, strict=True):
                result[batch] = hu
                for info, padding in zip(infos[batch], volume.padding[batch], strict=True):
                    plan.manifest.slices.append(self._record(info.key, int(padding.sum()), seconds))
                    self.progress.advance()
        return result

    def _record(self, key: str, padding: int, seconds: float) -> SliceRecord:
        return SliceRecord(
            file=self.target.name,
            source_uid=key,
            source_sha256="",
            derived_uid="",
            clipped=0,
            padding=padding,
            seconds=round(seconds, 3),
        )

    def _infos(self, volume: Volume) -> list[SliceInfo]:
        return [
            SliceInfo(str(index), volume.pixel_spacing_mm, volume.slice_thickness_mm) for index in range(len(volume.hu))
        ]


def _apply(
    operation: SliceOperation,
    hu: NDArray[np.float32],
    neighbours: NDArray[np.intp],
    infos: Sequence[SliceInfo],
    batch: slice,
) -> tuple[NDArray[np.float32], float]:
    """Apply an operation to some planes; return their HU, and the seconds for each."""
    began = time.perf_counter()
    result = operation(hu[neighbours[batch]] if operation.context else hu[batch], infos[batch])
    return result, (time.perf_counter() - began) / len(result)
