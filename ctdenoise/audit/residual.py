"""What was removed from a series, as a series of its own: source minus derived image."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctdenoise.errors import InputError
from ctdenoise.inference.dicom_run import DicomRun
from ctdenoise.inference.file_names import FileNames
from ctdenoise.inference.operations import Resolved, SeriesSample, SliceInfo
from ctdenoise.inference.options import RunOptions
from ctdenoise.inference.results import Progress, SeriesResult
from ctdenoise.inference.run import carry_out
from ctdenoise.io.dicom import Series, read_slice
from ctdenoise.io.dicom.archive import OpenedInput
from ctdenoise.io.dicom.derivation import DicomOutput
from ctdenoise.io.dicom.series import Skipped
from ctdenoise.provenance import Provenance
from ctdenoise.version import __version__

_NAME = "removed noise"
#: Added to the source's Series Number.
_SERIES_NUMBER_OFFSET = 3000


@dataclass(frozen=True)
class Residual:
    """Source minus derived image; see :class:`~ctdenoise.inference.operations.SliceOperation`.

    Attributes
    ----------
    result
        The derived series.
    options
        Of the run that made it, by which its images were identified.
    """

    result: SeriesResult
    options: RunOptions
    batch_size: int = 1
    parallel_calls: int = 1
    context: int = 0

    @cached_property
    def provenance(self) -> Provenance:
        """The derived series, and the numerical environment."""
        manifest = self.result.manifest
        return Provenance(
            name=_NAME,
            version=__version__,
            parameters={
                "operation": manifest.operation.identity,
                "derived_series_uid": manifest.derived.series_uid,
                "environment": {
                    "ctdenoise": __version__,
                    "numpy": np.__version__,
                    "hardware": platform.machine(),
                },
            },
            label="removed noise",
            description=f"Source minus derived image: what {manifest.operation.name} removed, HU",
            series_number_offset=_SERIES_NUMBER_OFFSET,
        )

    @cached_property
    def _files(self) -> Mapping[str, Path]:
        """The derived file of each image, by the source's UID or its pseudonym."""
        return {record.source_uid: self.result.folder / record.file for record in self.result.manifest.slices}

    @cached_property
    def _identification(self) -> DicomOutput:
        return self.options.dicom_output()

    def __call__(self, hu: NDArray[np.float32], slices: Sequence[SliceInfo]) -> NDArray[np.float32]:
        """Return what was removed from ``[B, H, W]`` HU."""
        return np.stack([image - self._derived(info.key) for image, info in zip(hu, slices, strict=True)])

    def run_info(self) -> dict[str, Any]:
        """Return that it runs on the CPU."""
        return {"device": "cpu", "batch_size": self.batch_size}

    def _derived(self, key: str) -> NDArray[np.float32]:
        uid, _, frame = key.rpartition("/")
        path = self._files.get(self._identification.pseudonym(uid))
        if path is None:
            raise InputError("expected a derived slice to subtract, found none", path=self.result.folder)
        hu = read_slice(path).hu
        image: NDArray[np.float32] = hu[int(frame)] if hu.ndim == 3 else hu
        return image


@dataclass(frozen=True)
class ResidualRequest:
    """The residual of a result; see :class:`~ctdenoise.inference.operations.OperationRequest`."""

    result: SeriesResult
    options: RunOptions
    series_number_offset: int = _SERIES_NUMBER_OFFSET

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The operation that removed it."""
        return {"removed_by": self.result.manifest.operation.identity}

    def resolve(self, sample: SeriesSample) -> Resolved:
        """Return the operation: nothing has to be measured."""
        return Resolved(Residual(self.result, self.options))

    def restore(self, parameters: Mapping[str, Any]) -> Residual:
        """Return the operation."""
        return Residual(self.result, self.options)


@dataclass(frozen=True)
class ResidualWriter:
    """Writes the residual of each derived DICOM series; see :class:`~ctdenoise.inference.results.ResultHandler`.

    Attributes
    ----------
    output, options, progress
        Those of the run.
    results
        Gets the residual series.
    """

    output: Path
    options: RunOptions
    progress: Progress
    results: list[SeriesResult] = field(default_factory=list)

    def __call__(self, result: SeriesResult, source: Series | Path, input_path: Path) -> list[Skipped]:
        """Write the residual of a result; of DICOM only."""
        if not isinstance(source, Series):
            return [Skipped(source, "no residual: --save-residual is for DICOM")]
        if result.manifest.status != "complete":
            return [Skipped(result.folder, "no residual: some slices could not be processed", failed=True)]
        names = FileNames(OpenedInput(source.slices[0].path.parent), self.options.deidentification)
        run = DicomRun(
            ResidualRequest(result, self.options), source, self.options, self.output, names, (), self.progress
        )
        try:
            self.results.append(carry_out(run, self.progress))
        except InputError as error:
            return [Skipped(result.folder, f"no residual: {error.reason}", failed=True)]
        return []
