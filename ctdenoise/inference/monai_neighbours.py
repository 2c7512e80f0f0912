"""Neighbouring slices of a volume in MONAI's transforms."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor
from monai.transforms import MapTransform
from numpy.typing import NDArray
from torch import Tensor

from ctdenoise.io.neighbours import UNKNOWN, Plane, neighbour_indices

#: Key of a MetaTensor's metadata for :func:`planes_as_array`.
PLANES = "slice_planes"
#: Numbers of :attr:`~ctdenoise.io.neighbours.Plane.origin`.
_ORIGIN = 2


class NeighbouringSlicesd(MapTransform):
    """Put the neighbours of each slice beside it, as channels: the input of a model with context.

    Neighbours are those of :func:`~ctdenoise.io.neighbours.neighbour_indices`. Where slices of a series are, is known
    from :class:`~ctdenoise.inference.monai_inputs.LoadHUd`; others are at equal distances.

    Parameters
    ----------
    keys
        ``[1, H, W]`` or ``[1, H, W, D]``; the result is ``[N, H, W]`` or ``[N, H, W, D]``, and channel N // 2 is the
        image itself.
    slices
        Odd number N of channels.
    """

    def __init__(self, keys: KeysCollection, *, slices: int, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.slices = slices

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert each key to tensors."""
        result = dict(data)
        for key in self.key_iterator(data):
            image = torch.as_tensor(data[key]).as_subclass(Tensor)
            if image.ndim == 3:
                gathered = image.expand(self.slices, -1, -1)
            else:
                table = torch.from_numpy(image_neighbours(data[key], self.slices // 2))
                gathered = image[0][..., table.T].movedim(2, 0)
            result[key] = gathered
            if isinstance(data[key], MetaTensor):
                result[key] = MetaTensor(gathered).copy_meta_from(data[key])
        return result


def planes_as_array(planes: Sequence[Plane]) -> NDArray[np.float64]:
    """Return where slices are as metadata that MONAI can collate: a row for each; NaN where that is unknown."""
    rows = [[] if plane.position is None else [plane.position, *plane.geometry, *plane.origin] for plane in planes]
    array = np.full((len(rows), max(map(len, rows))), np.nan)
    for index, row in enumerate(rows):
        array[index, : len(row)] = row
    return array


def image_neighbours(image: NdarrayOrTensor, context: int) -> NDArray[np.intp]:
    """Find the neighbours of the slices ``[C, H, W, D]`` along the last axis.

    Returns
    -------
    ndarray
        ``[D, 2 * context + 1]`` indices, see :func:`~ctdenoise.io.neighbours.neighbour_indices`. If the slices are not
        known to be those of :data:`PLANES`, in their order or its reverse, they are taken to be at equal distances.
    """
    depth = image.shape[-1]
    known = image.meta.get(PLANES, ()) if isinstance(image, MetaTensor) else ()
    if len(known) == depth:
        now, loaded = (np.asarray(affine)[:3, 2] for affine in (image.affine, image.meta["original_affine"]))
        cosine = now @ loaded / max(float(np.linalg.norm(now) * np.linalg.norm(loaded)), 1e-12)
        if abs(cosine) > 1 - 1e-6:
            table = neighbour_indices([_plane(np.asarray(row)) for row in known], context)
            # The order of the channels stays that along the normal, as for files.
            return table if cosine > 0 else (depth - 1 - table)[::-1].copy()
    return neighbour_indices([Plane(float(index)) for index in range(depth)], context)


def _plane(row: NDArray[np.float64]) -> Plane:
    if not row.size or np.isnan(row).any():
        return UNKNOWN
    return Plane(float(row[0]), tuple(row[1:-_ORIGIN]), tuple(row[-_ORIGIN:]))
