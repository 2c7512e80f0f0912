"""The part of a slice that goes through the network: the body with a margin, without the air around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice]

#: Blocks of 4 × 4 pixels whose mean is below this are air, HU.
AIR_THRESHOLD_HU = -800.0
#: Width of air kept around the body, pixels: results in the body then differ by less than 0.05 HU (root mean square).
AIR_MARGIN = 80
_BLOCK = 4


def body_box(hu: NDArray[np.float32], multiple: int) -> Box | None:
    """Return the rows and columns around everything but air in an image; None if there is only air.

    Parameters
    ----------
    hu
        ``[H, W]`` HU.
    multiple
        Sides are multiples of it where the image is large enough. Edges lie at multiples of 16, so that the encoder's
        coarsest map, at 1/16, is sampled as for the whole image.
    """
    body: NDArray[np.bool_] = _block_means(hu) > AIR_THRESHOLD_HU
    if not body.any():
        return None
    rows, columns = (_span(np.asarray(body.any(axis=1 - axis)), hu.shape[axis], multiple) for axis in (0, 1))
    return rows, columns


def _block_means(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return means over blocks of 4 × 4 pixels; blocks at the far edges are filled by repeating the last pixels."""
    padded = np.pad(hu, [(0, -length % _BLOCK) for length in hu.shape], mode="edge")
    rows, columns = (length // _BLOCK for length in padded.shape)
    # Rows first, which are contiguous in memory.
    sums: NDArray[np.float32] = padded.reshape(rows, _BLOCK, columns * _BLOCK).sum(axis=1)
    means: NDArray[np.float32] = sums.reshape(rows, columns, _BLOCK).sum(axis=2) / np.float32(_BLOCK**2)
    return means


def _span(occupied: NDArray[np.bool_], size: int, multiple: int) -> slice:
    """Return the extent of the occupied blocks with the margin along an axis of `size` pixels."""
    indices = np.flatnonzero(occupied)
    first = max(0, int(indices[0]) * _BLOCK - AIR_MARGIN) // 16 * 16
    last = min(size, (int(indices[-1]) + 1) * _BLOCK + AIR_MARGIN)
    length = -(-(last - first) // multiple) * multiple
    if first + length > size:
        return slice(max(0, size - length) // 16 * 16, size)
    return slice(first, first + length)
