"""Dead leaves: images of known truth with edges and detail of every size, to train on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

#: Shares of tissues, and the HU each may have.
_TISSUES = (
    (0.66, -10.0, 90.0),  # soft tissue
    (0.20, -130.0, -50.0),  # fat
    (0.05, -900.0, -600.0),  # lung
    (0.06, 90.0, 300.0),  # contrast medium
    (0.03, 300.0, 1400.0),  # bone
)
#: Radii in pixels, between which their number falls with the square.
_SMALLEST, _LARGEST = 1.5, 80.0
_FINER = 2


def dead_leaves(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw ellipses of tissue that cover each other, as leaves on the ground do.

    A model of images (Lee, Mumford, Huang 2001); networks trained on it denoise photographs
    nearly as well as those trained on photographs (Achddou, Gousseau, Ladjal 2021). It has no noise and no licence.

    Parameters
    ----------
    size
        Rows and columns.
    rng
        Of the leaves, and of the blur of 0.4 to 1 pixel that a reconstruction has.

    Returns
    -------
    ndarray
        ``[size, size]`` HU.
    """
    side = _FINER * size
    image = np.full((side, side), np.nan)
    shares = np.array([share for share, _, _ in _TISSUES])
    covered, uncovered = 0, side * side
    # The first leaves lie on top; the last uncovered pixels get what lies deepest.
    while uncovered > side * side // 500 and covered < 20_000:
        covered += 1
        a = _FINER / rng.uniform(1 / _LARGEST, 1 / _SMALLEST)
        b = a * rng.uniform(0.4, 1)
        row, column = rng.uniform(-a, side + a, 2)
        top, left = (max(0, int(middle - a)) for middle in (row, column))
        y, x = np.ogrid[top : min(side, int(row + a) + 2), left : min(side, int(column + a) + 2)]
        if not y.size or not x.size:
            continue
        angle = rng.uniform(0, np.pi)
        along = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
        across = (y - row) * np.cos(angle) - (x - column) * np.sin(angle)
        patch = image[top : top + y.shape[0], left : left + x.shape[1]]
        new = ((along / a) ** 2 + (across / b) ** 2 <= 1) & np.isnan(patch)
        _, darkest, brightest = _TISSUES[rng.choice(len(_TISSUES), p=shares)]
        patch[new] = rng.uniform(darkest, brightest)
        uncovered -= int(new.sum())
    image[np.isnan(image)] = 0.0
    fine = gaussian_filter(image, _FINER * rng.uniform(0.4, 1.0))
    coarse: NDArray[np.float32] = fine.reshape(size, _FINER, size, _FINER).mean(axis=(1, 3)).astype(np.float32)
    return coarse
