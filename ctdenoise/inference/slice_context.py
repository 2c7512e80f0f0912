"""Neighbouring slices as context: which slices are neighbours, and a window that moves along a series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import CTSlice, SliceFile
from ctdenoise.io.dicom.discover import position_along_normal
from ctdenoise.io.dicom.enhanced import functional_group

#: A distance of more than this times the usual distance of the series is a gap.
_GAP = 1.5
#: Largest difference between direction cosines of one orientation, which files round differently: 0.06°.
_TOLERANCE = 1e-3

Decoded = TypeVar("Decoded")


class Plane(NamedTuple):
    """Position of a slice in mm along its normal, None if unknown, and numbers in which neighbours agree."""

    position: float | None
    geometry: tuple[float, ...] = ()


def neighbour_indices(planes: Sequence[Plane], context: int) -> NDArray[np.intp]:
    """Find the neighbours of each slice.

    Parameters
    ----------
    planes
        N slices in order of position.
    context
        Number of neighbours on each side.

    Returns
    -------
    NDArray
        ``[N, 2 * context + 1]`` indices of slices, in order along the normal; column `context` is the slice itself. The
        slice itself also stands for a neighbour that does not exist, has another geometry, or lies over a gap: over two
        slices in succession at an unknown distance, at the same position, or more than 1.5 times the median apart.
    """
    table = np.repeat(np.arange(len(planes))[:, None], 2 * context + 1, axis=1)
    if not context or len(planes) < 2:
        return table
    distances = np.diff([np.nan if plane.position is None else plane.position for plane in planes])
    known = distances[np.isfinite(distances)]
    usual = np.median(known) if known.size else 0.0
    is_gap = ~((distances > 0) & (distances <= _GAP * usual))
    gaps_before = np.concatenate([[0], np.cumsum(is_gap)])
    for index, plane in enumerate(planes):
        for other in range(max(0, index - context), min(len(planes), index + context + 1)):
            if gaps_before[other] == gaps_before[index] and _agree(planes[other].geometry, plane.geometry):
                table[index, other - index + context] = other
    return table


def file_neighbours(files: Sequence[SliceFile], context: int) -> NDArray[np.intp]:
    """Return :func:`neighbour_indices` of the files of a series; those of enhanced CT have none outside themselves."""
    planes = [Plane(None if file.enhanced else file.position, file.geometry) for file in files]
    return neighbour_indices(planes, context)


def frame_neighbours(image: CTSlice, context: int) -> NDArray[np.intp]:
    """Return :func:`neighbour_indices` of the frames of an enhanced object, which may be stored in any order."""
    if not context:
        return np.arange(len(image.hu))[:, None]
    planes = [_frame_plane(image.dataset, frame) for frame in range(len(image.hu))]
    positions = [np.inf if plane.position is None else plane.position for plane in planes]
    order = np.argsort(positions, kind="stable")
    table = np.empty((len(planes), 2 * context + 1), np.intp)
    table[order] = order[neighbour_indices([planes[frame] for frame in order], context)]
    return table


def read_windows(
    neighbours: NDArray[np.intp], wanted: Sequence[int], slices: Iterable[Decoded | InputError]
) -> Iterator[list[Decoded] | InputError]:
    """Yield slices with their neighbours; only those that a later slice needs are kept.

    Parameters
    ----------
    neighbours
        ``[N, 2 * context + 1]``, as :func:`neighbour_indices` returns.
    wanted
        Rising indices of the slices to yield.
    slices
        The slices of :func:`needed_indices`, in this order; an error for each that cannot be read.

    Yields
    ------
    list or InputError
        For each wanted slice, itself with its neighbours, itself also in place of those that cannot be read; an error
        if it cannot be read itself.
    """
    reach = neighbours.shape[1] // 2
    reading = zip(needed_indices(neighbours, wanted), slices, strict=True)
    held: dict[int, Decoded | InputError] = {}
    for index in wanted:
        row = neighbours[index].tolist()
        while max(row) not in held:
            position, item = next(reading)
            held[position] = item
        own = held[index]
        if isinstance(own, InputError):
            yield own
        else:
            window = [held[other] for other in row]
            yield [own if isinstance(item, InputError) else item for item in window]
        for passed in [other for other in held if other <= index - reach]:
            del held[passed]


def needed_indices(neighbours: NDArray[np.intp], wanted: Sequence[int]) -> list[int]:
    """Return the rising indices of the slices to read: those wanted and their neighbours."""
    indices: list[int] = np.unique(neighbours[list(wanted)]).tolist()
    return indices


def _frame_plane(dataset: Dataset, frame: int) -> Plane:
    """Describe a frame, from 0 (PS3.3 C.7.6.16.2.3, C.7.6.16.2.4 and C.7.6.16.2.2)."""
    position, orientation, content = (
        functional_group(dataset, frame, f"{name}Sequence") or Dataset()
        for name in ("PlanePosition", "PlaneOrientation", "FrameContent")
    )
    try:
        cosines = orientation.get("ImageOrientationPatient")
        millimetres = position_along_normal(cosines, position.get("ImagePositionPatient"))
        return Plane(millimetres, (float(content.get("FrameAcquisitionNumber") or 0), *map(float, cosines or ())))
    except (TypeError, ValueError):  # damaged elements
        return Plane(None)


def _agree(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return len(one) == len(other) and all(abs(a - b) <= _TOLERANCE for a, b in zip(one, other, strict=True))
