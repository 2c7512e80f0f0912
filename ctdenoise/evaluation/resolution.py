"""Task transfer function: how much contrast of each frequency an image keeps, at inserts and at the skin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.signal.windows import tukey
from skimage.measure import find_contours

#: Width of the bins that an edge is sampled in, in pixels; how far on either side of it, in pixels.
_BIN, _REACH = 0.1, 14.0
#: Of an arc of the skin: HU at its outline, points along it, and how much these may stray from a circle, in pixels.
_SKIN_HU, _ARC, _ROUGH = -500.0, 40, 0.15


def ttf(
    images: Sequence[NDArray[np.floating]], centre: tuple[float, float], radius: float, pixel_mm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure the task transfer function at the edge of a disc, by the circular-edge method.

    All pixels near the edge, sorted by their distance from the centre, make one finely sampled edge; its derivative is
    the line spread function, whose Fourier transform is the TTF (Richard et al. 2012; AAPM TG-233, §3.2.2).

    Parameters
    ----------
    images
        ``[H, W]`` HU each, of the same disc; they are averaged, which takes noise away.
    centre, radius
        Of the disc: row and column, and radius in pixels.
    pixel_mm
        Pixel spacing.

    Returns
    -------
    frequency, ttf
        ``[F]`` cycles per mm from 0 to the Nyquist frequency, and the TTF there, 1 at 0.
    """
    average: NDArray[np.float64] = np.mean(images, axis=0, dtype=np.float64)
    rows, columns = np.indices(average.shape)
    distance = np.hypot(rows - centre[0], columns - centre[1]) - radius
    near = np.abs(distance) <= _REACH
    return _transfer(distance[near], average[near], pixel_mm)


def skin_ttf(
    images: Sequence[NDArray[np.floating]], skins: Sequence[Sequence[Arc]], pixel_mm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure the task transfer function at the skin, where there are no inserts: as :func:`ttf`.

    The skin is thin and fat lies beneath it, so the curve is for comparing images of one patient (Sanders et al. 2016,
    *Patient-specific quantification of image quality*).

    Parameters
    ----------
    images
        ``[H, W]`` HU each.
    skins
        For each image, from :func:`skin_arcs`; at least one in all.
    pixel_mm
        Pixel spacing.

    Returns
    -------
    frequency, ttf
        As of :func:`ttf`.
    """
    distances, values = [], []
    for image, arcs in zip(images, skins, strict=True):
        rows, columns = np.indices(image.shape)
        for arc in arcs:
            y, x = rows - arc.centre[0], columns - arc.centre[1]
            distance = np.hypot(y, x) - arc.radius
            along = np.abs(np.angle(np.exp(1j * (np.arctan2(y, x) - arc.middle))))
            near = (np.abs(distance) <= _REACH) & (along < arc.half)
            # Air is outside of every arc, so that edges add up.
            distances.append(distance[near] * (1 if arc.convex else -1))
            values.append(image[near])
    return _transfer(np.concatenate(distances), np.concatenate(values), pixel_mm)


@dataclass(frozen=True)
class Arc:
    """A piece of the body's outline that is a piece of a circle.

    Attributes
    ----------
    centre, radius
        Row and column, and pixels.
    middle, half
        Angle of its middle about the centre, and half of the angle it takes.
    convex
        Whether the body is on the centre's side.
    """

    centre: tuple[float, float]
    radius: float
    middle: float
    half: float
    convex: bool


def skin_arcs(image: NDArray[np.floating]) -> list[Arc]:
    """Find where the outline of the body is smooth, with nothing but air near it.

    Parameters
    ----------
    image
        ``[H, W]`` HU; with as little noise as there is.
    """
    contours = find_contours(gaussian_filter(np.asarray(image, np.float64), 1.0), _SKIN_HU)
    if not contours:
        return []
    outline = max(contours, key=len)
    arcs = []
    for start in range(0, len(outline) - _ARC, _ARC):
        points = outline[start : start + _ARC]
        # Circle by least squares (Kåsa 1976).
        system = np.column_stack((points, np.ones(len(points))))
        (a, b, c), *_ = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)
        centre = np.array([a / 2, b / 2])
        radius = float(np.sqrt(max(c + centre @ centre, 0)))
        reach = np.hypot(*(points - centre).T)
        if radius < 2 * _REACH or np.std(reach - radius) > _ROUGH:
            continue
        angles = np.arctan2(*(points - centre).T)
        middle = float(np.angle(np.exp(1j * angles).mean()))
        half = float(np.abs(np.angle(np.exp(1j * (angles - middle)))).max())
        direction = np.array([np.sin(middle), np.cos(middle)])
        # Well outside and well inside, of a piece about the middle of the arc.
        sides = [_beyond(image, centre, radius, direction, sign) for sign in (1, -1)]
        air, body = sorted(sides, key=lambda values: float(values.mean()) if values.size else np.inf)
        if air.size == 0 or body.size == 0 or air.max() > -850 or body.min() < -300:
            continue
        arcs.append(Arc((centre[0], centre[1]), radius, middle, half, convex=air is sides[0]))
    return arcs


def _beyond(
    image: NDArray[np.floating], centre: NDArray[np.float64], radius: float, direction: NDArray[np.float64], sign: int
) -> NDArray[np.floating]:
    steps = np.arange(4.0, _REACH)
    at = np.round(centre + np.outer(radius + sign * steps, direction)).astype(int)
    inside = np.all((at >= 0) & (at < image.shape), axis=1)
    return image[tuple(at.T)] if inside.all() else image[:0].ravel()


def fifty(frequency: NDArray[np.float64], transfer: NDArray[np.float64]) -> float:
    """Return the frequency, cycles per mm, where a TTF first falls to one half; its last one if never."""
    below = np.flatnonzero(transfer < 0.5)
    if below.size == 0:
        return float(frequency[-1])
    last = below[0]
    return float(np.interp(0.5, transfer[[last, last - 1]], frequency[[last, last - 1]]))


def ttf50(images: Sequence[NDArray[np.floating]], centre: tuple[float, float], radius: float, pixel_mm: float) -> float:
    """Return where :func:`ttf` first falls to one half, cycles per mm; the Nyquist frequency if never."""
    return fifty(*ttf(images, centre, radius, pixel_mm))


def _transfer(
    distance: NDArray[np.float64], value: NDArray[np.floating], pixel_mm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn values by their distance from an edge into a TTF."""
    index = np.floor((distance + _REACH) / _BIN).astype(int)
    bins = round(2 * _REACH / _BIN)
    counts = np.bincount(index, minlength=bins + 1)[:bins]
    sums = np.bincount(index, value, minlength=bins + 1)[:bins]
    middle = (np.arange(bins) + 0.5) * _BIN - _REACH
    edge = np.asarray(np.interp(middle, middle[counts > 0], sums[counts > 0] / counts[counts > 0]))
    spread = np.diff(edge) * tukey(bins - 1)
    padded = 1 << 12
    transfer = np.abs(np.fft.rfft(spread, padded))
    frequency = np.arange(padded // 2 + 1) / (padded * _BIN * pixel_mm)
    kept = frequency <= 0.5 / pixel_mm
    # Differences and bins average over their width.
    width = np.sinc(frequency[kept] * _BIN * pixel_mm) ** 2
    return frequency[kept], transfer[kept] / transfer[0] / width
