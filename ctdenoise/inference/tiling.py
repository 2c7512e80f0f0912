"""Images larger than memory allows, sent through a network in overlapping tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psutil
import torch
from torch import Tensor

#: Pixels that a tile overlaps its neighbour by: more than the receptive field of RN50 and the decoder.
TILE_OVERLAP = 256
#: Memory that the network needs for each pixel, bytes.
BYTES_PER_PIXEL = 2500


def affordable_pixels(device: torch.device) -> int:
    """Return how many pixels fit into free memory at once; at least a tile with its overlap on both sides."""
    if device.type == "cuda":
        usable = 0.8 * torch.cuda.mem_get_info(device)[0]
    elif device.type == "mps":
        usable = 0.5 * torch.mps.recommended_max_memory()
    else:
        usable = 0.5 * psutil.virtual_memory().available
    return max(int(usable / BYTES_PER_PIXEL), (3 * TILE_OVERLAP) ** 2)


def apply_in_tiles(network: Callable[[Tensor], Tensor], batch: Tensor, side: int) -> Tensor:
    """Send ``[B, C, H, W]`` through a network in tiles; equals the whole image within float32 rounding.

    Parameters
    ----------
    side
        Side of a tile with its overlaps, pixels; a multiple of 16 greater than twice the overlap.
    """
    rows_of_tiles: list[Tensor] = []
    for rows, kept_rows in _tiles(batch.shape[-2], side):
        row: list[Tensor] = []
        for columns, kept_columns in _tiles(batch.shape[-1], side):
            row.append(network(batch[..., rows, columns])[..., kept_rows, kept_columns])
        rows_of_tiles.append(torch.cat(row, dim=-1))
    return torch.cat(rows_of_tiles, dim=-2)


def _tiles(length: int, side: int) -> Iterator[tuple[slice, slice]]:
    """Yield each tile's extent along one axis, and the part of it that is kept."""
    if length <= side:
        yield slice(0, length), slice(0, length)
        return
    step = side - 2 * TILE_OVERLAP
    for first in range(0, length, step):
        last = min(length, first + step)
        begin, end = max(0, first - TILE_OVERLAP), min(length, last + TILE_OVERLAP)
        yield slice(begin, end), slice(first - begin, last - begin)
