"""Where a slice is, as its header tells (PS3.3 C.7.6.2.1.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydicom import Dataset

from ctdenoise.io.dicom.enhanced import functional_group
from ctdenoise.io.neighbours import UNKNOWN, Plane


def slice_plane(header: Dataset) -> Plane:
    """Return where a classic slice is (PS3.3 C.7.6.2.1.1)."""
    return plane(
        header.get("ImageOrientationPatient"),
        header.get("ImagePositionPatient"),
        _pixel_spacing(header),
        (int(header.Rows), int(header.Columns), acquisition(header)),
    )


def _pixel_spacing(header: Dataset) -> Sequence[float] | None:
    """Return Pixel Spacing; None for text in its place, which is an error where the slice is read."""
    try:
        spacing: Sequence[float] | None = header.get("PixelSpacing")
    except (TypeError, ValueError):
        return None
    return spacing


def plane(
    orientation: Sequence[float] | None,
    origin: Sequence[float] | None,
    spacing: Sequence[float] | None,
    others: tuple[float, ...],
) -> Plane:
    """Return where a slice is.

    Parameters
    ----------
    orientation, origin
        See :func:`position_along_normal`.
    spacing
        Distance of rows and of columns in mm: Pixel Spacing; what is no pair of numbers is as unknown.
    others
        Further numbers in which neighbours agree.
    """
    position = position_along_normal(orientation, origin)
    if position is None or orientation is None:
        return UNKNOWN
    try:
        rows, columns = (float(value) for value in spacing or ())
    except (TypeError, ValueError):
        rows = columns = 0.0
    cosines = [float(value) for value in orientation]
    along_row, along_column = np.array(cosines).reshape(2, 3) @ np.array(origin, float)
    pixels = (float(along_row / (columns or 1.0)), float(along_column / (rows or 1.0)))
    return Plane(position, (*others, *cosines, rows, columns), pixels)


def position_along_normal(orientation: Sequence[float] | None, origin: Sequence[float] | None) -> float | None:
    """Return the distance along the slice normal in mm (PS3.3 C.7.6.2.1.1); None if it is unknown.

    Parameters
    ----------
    orientation
        Six direction cosines, of a row and of a column: Image Orientation (Patient).
    origin
        Image Position (Patient), in mm.
    """
    if orientation is None or origin is None or len(orientation) != 6 or len(origin) != 3:
        return None
    row, column = np.array(orientation, float).reshape(2, 3)
    return float(np.cross(row, column) @ np.array(origin, float))


def acquisition(header: Dataset) -> int:
    """Return the AcquisitionNumber; 0 where absent."""
    return int(header.get("AcquisitionNumber") or 0)


def frame_plane(dataset: Dataset, frame: int) -> Plane:
    """Return where a frame, counted from 0, of an enhanced object is (PS3.3 C.7.6.16.2.1 to C.7.6.16.2.4)."""
    position, orientation, measures, content = (
        functional_group(dataset, frame, f"{name}Sequence") or Dataset()
        for name in ("PlanePosition", "PlaneOrientation", "PixelMeasures", "FrameContent")
    )
    try:
        return plane(
            orientation.get("ImageOrientationPatient"),
            position.get("ImagePositionPatient"),
            measures.get("PixelSpacing"),
            (float(content.get("FrameAcquisitionNumber") or 0),),
        )
    except (TypeError, ValueError):  # damaged elements
        return UNKNOWN
