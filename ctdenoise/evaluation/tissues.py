"""Segmentation of the body and of tissues by HU, their mean HU, and the contrast of inserts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, binary_fill_holes, gaussian_filter, label

from ctdenoise.evaluation.physics_document import InsertContrast, TissueStatistics
from ctdenoise.evaluation.resampling import Resampling, interval, weighted_mean

Image = NDArray[np.floating]

#: HU range of each tissue in the smoothed image.
TISSUES: Mapping[str, tuple[float, float]] = {
    "lung": (-950.0, -600.0),
    "fat": (-140.0, -60.0),
    "soft tissue": (0.0, 120.0),
    "bone": (250.0, 1500.0),
}
#: Fewest pixels that statistics are computed of.
FEWEST_PIXELS = 100


def body_mask(hu: Image) -> NDArray[np.bool_]:
    """Return the body: the largest connected region above −500 HU (smoothed by one pixel), with its cavities.

    Parameters
    ----------
    hu
        ``[H, W]`` HU.
    """
    parts, count = label(gaussian_filter(np.asarray(hu, np.float32), 1.0) > -500)
    if count == 0:
        return np.zeros(hu.shape, bool)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    filled: NDArray[np.bool_] = binary_fill_holes(parts == sizes.argmax())
    return filled


def tissue_masks(hu: Image) -> dict[str, NDArray[np.bool_]]:
    """Segment tissues by HU after smoothing (σ 1.5 pixels), inside the body and two pixels from their edges.

    Parameters
    ----------
    hu
        ``[H, W]`` HU; of the reference, if there is one.
    """
    smooth, body = gaussian_filter(np.asarray(hu, np.float32), 1.5), body_mask(hu)
    return {
        name: binary_erosion((smooth > low) & (smooth < high) & body, iterations=2)
        for name, (low, high) in TISSUES.items()
    }


class TissueMeans:
    """Mean HU of tissues in an image and in its reference, accumulated slice by slice."""

    def __init__(self) -> None:
        self._sums: dict[str, list[tuple[float, ...]]] = {name: [] for name in TISSUES}

    def add(self, masks: Mapping[str, NDArray[np.bool_]], reference: Image, image: Image) -> None:
        """Add a slice: masks by tissue, and ``[H, W]`` HU of the reference and the image."""
        for name, mask in masks.items():
            a, b = reference[mask].astype(np.float64), image[mask].astype(np.float64)
            self._sums[name].append((float(mask.sum()), a.sum(), b.sum(), (b**2).sum()))

    def means(self, tissue: str, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean HU and bias of a tissue for each row of weights of the slices, ``[R, S]``; NaN without pixels."""
        count, reference, total, _ = (weights @ np.array(self._sums[tissue])).T
        with np.errstate(invalid="ignore"):
            return total / count, (total - reference) / count

    def statistics(self) -> dict[str, TissueStatistics]:
        """Return the statistics of each tissue that has enough pixels."""
        found = {}
        for name, rows in self._sums.items():
            count, reference, total, squares = np.sum(rows, axis=0) if rows else np.zeros(4)
            if count < FEWEST_PIXELS:
                continue
            mean = float(total / count)
            weights = Resampling(len(rows)).weights(range(len(rows)))
            found[name] = TissueStatistics(
                pixels=int(count),
                mean_hu=mean,
                sd_hu=float(np.sqrt(max(squares / count - mean**2, 0))),
                bias_hu=mean - float(reference / count),
                bias_ci95=interval(self.means(name, weights)[1]),
            )
        return found


def insert_contrast(images: Sequence[Image], centre: tuple[float, float], radius: float) -> InsertContrast:
    """Measure contrast and CNR of a circular insert: inside 0.7 radii against a ring from 1.4 to 1.8 radii.

    Parameters
    ----------
    images
        ``[H, W]`` HU each.
    centre, radius
        Row and column, and radius, in pixels.

    Returns
    -------
    InsertContrast
        The CNR is the contrast over the standard deviation of single pixels in the ring.
    """
    rows, columns = np.indices(images[0].shape)
    distance = np.hypot(rows - centre[0], columns - centre[1]) / radius
    inside, ring = distance < 0.7, (distance > 1.4) & (distance < 1.8)
    values = np.array([(image[inside].mean() - image[ring].mean(), image[ring].std()) for image in images])
    weights = Resampling(len(images)).weights(range(len(images)))
    contrast, noise = weighted_mean(weights, values).T
    cnr = np.divide(contrast, noise, out=np.full_like(contrast, np.inf), where=noise > 0)
    return InsertContrast(contrast_hu=contrast[0], contrast_ci95=interval(contrast), cnr=cnr[0], cnr_ci95=interval(cnr))
