"""What of an image goes through the network: not the air around the body, and no more at once than memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from torch import Tensor

Box = tuple[slice, slice]

#: What is darker, in a mean over 5 × 5 pixels, is air.
AIR_HU = -800.0
#: Air that is kept around the body, pixels: the network's work in the body then differs by less than 0.05 HU.
AIR_MARGIN = 80
#: Of what a tile is computed from beyond its edge, pixels: as far as RN50 and the decoder see, and some.
TILE_MARGIN = 256
#: Memory of the network a pixel, bytes.
PIXEL_BYTES = 2500


def body_box(hu: NDArray[np.float32], multiple: int) -> Box | None:
    """Return the rows and columns around everything but air in any of some images; None if there is only air.

    Parameters
    ----------
    hu
        ``[B, H, W]`` HU.
    multiple
        Of which the sides are, up to the image's; edges lie at multiples of 16, so that the encoder's maps, to 1/16,
        are those of the whole image.
    """
    filled = (uniform_filter(hu, (0, 5, 5)) > AIR_HU).any(axis=0)
    if not filled.any():
        return None
    rows, columns = (_span(filled.any(axis=1 - axis), multiple) for axis in (0, 1))
    return rows, columns


def _span(filled: NDArray[np.bool_], multiple: int) -> slice:
    there = np.flatnonzero(filled)
    first = max(0, int(there[0]) - AIR_MARGIN) // 16 * 16
    last = min(len(filled), int(there[-1]) + 1 + AIR_MARGIN)
    length = -(-(last - first) // multiple) * multiple
    if first + length > len(filled):
        return slice(max(0, len(filled) - length) // 16 * 16, len(filled))
    return slice(first, first + length)


def affordable_pixels(device: torch.device) -> int:
    """Return how many pixels memory allows in the network at once; no fewer than a tile with its margins has."""
    if device.type == "cuda":
        usable = 0.8 * torch.cuda.mem_get_info(device)[0]
    elif device.type == "mps":
        usable = 0.5 * torch.mps.recommended_max_memory()
    else:
        usable = 0.5 * psutil.virtual_memory().available
    return max(int(usable / PIXEL_BYTES), (3 * TILE_MARGIN) ** 2)


def apply_in_tiles(apply: Callable[[Tensor], Tensor], batch: Tensor, side: int) -> Tensor:
    """Send ``[B, C, H, W]`` through a network in tiles, to what the whole gives, within float32 rounding.

    Parameters
    ----------
    side
        Of a tile with its margins; a multiple of 16 greater than two margins.
    """
    parts: list[list[Tensor]] = []
    for rows, inner_rows in _tiles(batch.shape[-2], side):
        line = []
        for columns, inner_columns in _tiles(batch.shape[-1], side):
            clean = apply(batch[..., rows, columns])
            line.append(clean[..., inner_rows, inner_columns])
        parts.append(line)
    return torch.cat([torch.cat(line, dim=-1) for line in parts], dim=-2)


def _tiles(length: int, side: int) -> Iterator[tuple[slice, slice]]:
    """Yield each tile's extent, and within it the part that is kept."""
    if length <= side:
        yield slice(0, length), slice(0, length)
        return
    step = side - 2 * TILE_MARGIN
    for first in range(0, length, step):
        last = min(length, first + step)
        begin, end = max(0, first - TILE_MARGIN), min(length, last + TILE_MARGIN)
        yield slice(begin, end), slice(first - begin, last - begin)
