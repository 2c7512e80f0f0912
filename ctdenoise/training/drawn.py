"""Drawn slices for training: overlapping ellipsoids of known HU without noise."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

#: Planes that are averaged for the thickness of a slice.
_PLANES = 3
#: Lowest and highest size of an ellipsoid, of which its semi-axes are 0.5 to 1.5 times, and distance of neighbouring
#: slices, pixels; both are log-uniform.
_SEMI_AXIS, _DISTANCE = (1.5, 90.0), (0.8, 7.0)
#: Standard deviations of the point spread function, pixels.
_BLUR = (0.5, 1.2)
#: Ranges of HU of the ellipsoids that differ from what is around, and how often each is drawn: fat to contrast-filled
#: vessels, soft tissue, lung, bone; else air.
_HU = (((-120.0, 250.0), 0.35), ((20.0, 80.0), 0.4), ((-950.0, -650.0), 0.12), ((200.0, 1300.0), 0.08))
_AIR = -1000.0


class DrawEllipsoidsd(MapTransform):
    """Replace the seed under each key by drawn slices: HU, ``[N, H, W]`` float32.

    Ellipsoids hide those drawn before ("dead leaves"; Lee, Mumford & Huang 2001). The slices are contiguous cuts
    through the same ellipsoids, averaged over their thickness and blurred as by a reconstruction. Real scans always
    have noise; these show a network regions that are uniform, edges, and details of low contrast whose HU are known.

    Parameters
    ----------
    keys
        Integers.
    slices
        Number N of slices.
    side
        Height and width, pixels.
    ellipsoids
        How many are drawn.
    """

    def __init__(self, keys: KeysCollection, *, slices: int = 1, side: int = 320, ellipsoids: int = 250) -> None:
        super().__init__(keys)
        self.slices = slices
        self.side = side
        self.ellipsoids = ellipsoids

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Draw each key; the same seed gives the same slices."""
        return {**data, **{key: self._draw(int(data[key])) for key in self.key_iterator(data)}}

    def _draw(self, seed: int) -> NDArray[np.float32]:
        rng = np.random.default_rng(seed)
        distance = _log_uniform(rng, _DISTANCE)
        planes = (np.arange(self.slices * _PLANES) - (self.slices * _PLANES - 1) / 2) * distance / _PLANES
        hu = np.full((len(planes), self.side, self.side), rng.uniform(*_HU[1][0]), np.float32)
        for _ in range(self.ellipsoids):
            _add_ellipsoid(hu, planes, rng)
        blurred = gaussian_filter(hu, (0, *[rng.uniform(*_BLUR)] * 2), mode="nearest")
        slices: NDArray[np.float32] = blurred.reshape(self.slices, _PLANES, self.side, self.side).mean(1)
        return slices


def _add_ellipsoid(hu: NDArray[np.float32], planes: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Draw one ellipsoid into ``[P, H, W]``, in place; `planes` are positions along the normal, in pixels."""
    side = hu.shape[-1]
    axes = [_log_uniform(rng, _SEMI_AXIS) * factor for factor in rng.uniform(0.5, 1.5, 3)]
    row, column = rng.uniform(0, side, 2)
    height = rng.uniform(-axes[2], axes[2])
    angle = rng.uniform(0, np.pi)
    value = _hu(rng, float(hu[len(hu) // 2, int(row), int(column)]))
    reach = max(axes[:2])
    rows = np.arange(max(0, int(row - reach)), min(side, int(row + reach) + 2))[:, np.newaxis] - row
    columns = np.arange(max(0, int(column - reach)), min(side, int(column + reach) + 2)) - column
    along = (np.cos(angle) * columns + np.sin(angle) * rows) / axes[0]
    across = (np.cos(angle) * rows - np.sin(angle) * columns) / axes[1]
    in_plane = along**2 + across**2
    top, left = max(0, int(row - reach)), max(0, int(column - reach))
    for plane, position in zip(hu, planes, strict=True):
        part = plane[top : top + in_plane.shape[0], left : left + in_plane.shape[1]]
        part[in_plane <= 1 - ((position - height) / axes[2]) ** 2] = value


def _hu(rng: np.random.Generator, around: float) -> float:
    """Return HU of an ellipsoid: half of them differ little from what is around."""
    if rng.uniform() < 0.5:
        return max(_AIR, around + float(rng.choice((-1, 1))) * _log_uniform(rng, (3.0, 60.0)))
    chance = rng.uniform()
    for limits, probability in _HU:
        if chance < probability:
            return float(rng.uniform(*limits))
        chance -= probability
    return _AIR


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))
