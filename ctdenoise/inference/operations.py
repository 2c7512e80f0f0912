"""What a runner applies to slices: the protocols that denoising, dose reduction and any other operation implement.

To add an operation, write two classes in a module of their own, as in :mod:`ctdenoise.inference.denoising`: one for
what a user asks for (:class:`OperationRequest`) and one for what is done to a series (:class:`SliceOperation`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ctdenoise.provenance import Provenance


@dataclass(frozen=True)
class SliceInfo:
    """What is known of a slice besides its pixels.

    Attributes
    ----------
    key
        Identifies the slice: SOP Instance UID and frame, or the index in a volume.
    pixel_spacing_mm
        Distance of rows; None if unknown.
    slice_thickness_mm
        None if unknown.
    tube_current_ma
        X-ray tube current of the acquisition; None if unknown.
    """

    key: str
    pixel_spacing_mm: float | None
    slice_thickness_mm: float | None
    tube_current_ma: float | None = None


@dataclass(frozen=True)
class SeriesSample:
    """Some decoded slices of a series, for measuring what parameters the series asks for.

    Attributes
    ----------
    images
        ``[H, W]`` float32 HU each.
    slices
        Their descriptions, in the same order.
    count
        Number of slices in the whole series.
    """

    images: Sequence[NDArray[np.float32]]
    slices: Sequence[SliceInfo]
    count: int


class SliceOperation(Protocol):
    """An operation on slices with all parameters resolved. It must be picklable, for use in other processes."""

    @property
    def provenance(self) -> Provenance:
        """Name, version and every parameter that can change a result; the derived UIDs follow from it."""

    @property
    def batch_size(self) -> int:
        """Number of slices that one call should be given."""

    @property
    def parallel_calls(self) -> int:
        """Number of threads that should call it at the same time."""

    @property
    def context(self) -> int:
        """Number of neighbouring slices on each side that it needs; 0 if it needs none."""

    def __call__(self, hu: NDArray[np.float32], slices: Sequence[SliceInfo]) -> NDArray[np.float32]:
        """Process slices; the result of each depends on that slice and its neighbours alone. They are not changed.

        Parameters
        ----------
        hu
            ``[B, H, W]`` float32 HU. With a context c above 0 ``[B, 2c + 1, H, W]``: each slice with its neighbours in
            order along the slice normal, index c being the slice itself. The slice itself also stands for a neighbour
            that does not exist, lies over a gap (more than 1.5 times the median distance of the series), has another
            size, orientation or acquisition number, or cannot be read.
        slices
            Descriptions of the B slices.

        Returns
        -------
        NDArray
            ``[B, H, W]`` float32 HU.
        """

    def run_info(self) -> dict[str, Any]:
        """Return what the manifest records about how it ran, and what cannot change a result."""


@dataclass(frozen=True)
class Resolved:
    """An operation for one series, and what was measured to resolve it.

    Attributes
    ----------
    operation
        Ready to run.
    measured
        Values that parameters were derived from, for manifest and report.
    warnings
        Sentences for the user.
    """

    operation: SliceOperation
    measured: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()


class OperationRequest(Protocol):
    """What a user asks for; parameters may be left for each series to decide."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Parameters as asked for (a strength may be "auto"), JSON types only; an output folder is for one request."""

    @property
    def series_number_offset(self) -> int:
        """Added to the source's Series Number."""

    def resolve(self, sample: SeriesSample) -> Resolved:
        """Measure what was left open in slices of the series.

        Raises
        ------
        InputError
            If the operation cannot be applied to this series.
        """

    def restore(self, parameters: Mapping[str, Any]) -> SliceOperation:
        """Return the operation with the resolved parameters of an earlier run, for the rest of its series.

        Raises
        ------
        InputError
            If this machine cannot compute exactly so, e.g. because an engine is missing.
        """
