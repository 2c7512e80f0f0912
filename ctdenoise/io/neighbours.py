"""Which slices of a series are neighbours, and so show nearly the same anatomy at the same pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: A distance of more than this times the usual distance of the series is a gap.
_GAP = 1.5
#: Largest difference between numbers that files round differently: of direction cosines (0.06°) and millimetres.
_TOLERANCE = 1e-3
#: Largest displacement in the plane between neighbours, pixels.
_MOST_PIXELS = 1.0


class Plane(NamedTuple):
    """Where a slice is.

    Attributes
    ----------
    position
        Millimetres along the normal; None if unknown.
    geometry
        Numbers in which neighbours agree: size, acquisition, orientation, pixel spacing.
    origin
        Where its first pixel is in the plane, in pixels along a row and along a column; empty if unknown. It moves
        from slice to slice if the gantry is tilted, and where a part of a series was reconstructed around another
        centre.
    """

    position: float | None
    geometry: tuple[float, ...] = ()
    origin: tuple[float, ...] = ()


#: Of a slice whose place is not known; it has no neighbours.
UNKNOWN = Plane(None)


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
        slice itself also stands for a neighbour that does not exist, has another geometry, is displaced by more than a
        pixel in the plane, or lies over a gap: over two slices in succession at an unknown distance, at the same
        position, or more than 1.5 times the median apart.
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
            if gaps_before[other] == gaps_before[index] and _show_the_same(planes[other], plane):
                table[index, other - index + context] = other
    return table


def neighbours_of_unordered(planes: Sequence[Plane], context: int) -> NDArray[np.intp]:
    """Return :func:`neighbour_indices` of slices that may be in any order, as indices in this order."""
    positions = [np.inf if plane.position is None else plane.position for plane in planes]
    order = np.argsort(positions, kind="stable")
    table = np.empty((len(planes), 2 * context + 1), np.intp)
    table[order] = order[neighbour_indices([planes[index] for index in order], context)]
    return table


def _show_the_same(one: Plane, other: Plane) -> bool:
    """Whether pixels of one slice lie where those of the other do, in the plane."""
    return _agree(one.geometry, other.geometry, _TOLERANCE) and _agree(one.origin, other.origin, _MOST_PIXELS)


def _agree(one: tuple[float, ...], other: tuple[float, ...], tolerance: float) -> bool:
    return len(one) == len(other) and all(abs(a - b) <= tolerance for a, b in zip(one, other, strict=True))
