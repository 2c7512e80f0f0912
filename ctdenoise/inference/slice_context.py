"""Neighbouring slices as context: those of files and of frames, and a window that moves along a series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import CTSlice, SliceFile
from ctdenoise.io.dicom.plane import frame_plane
from ctdenoise.io.neighbours import UNKNOWN, neighbour_indices, neighbours_of_unordered

Decoded = TypeVar("Decoded")


def file_neighbours(files: Sequence[SliceFile], context: int) -> NDArray[np.intp]:
    """Return :func:`neighbour_indices` of the files of a series; those of enhanced CT have none outside themselves."""
    return neighbour_indices([UNKNOWN if file.enhanced else file.plane for file in files], context)


def frame_neighbours(image: CTSlice, context: int) -> NDArray[np.intp]:
    """Return :func:`neighbour_indices` of the frames of an enhanced object, which may be stored in any order."""
    if not context:
        return np.arange(len(image.hu))[:, None]
    return neighbours_of_unordered([frame_plane(image.dataset, frame) for frame in range(len(image.hu))], context)


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
