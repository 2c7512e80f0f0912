"""Task transfer function (TTF): the contrast that an image keeps at each frequency, at inserts and at the skin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.signal.windows import tukey
from skimage.measure import find_contours

#: Width of the bins that an edge profile is sampled in, and its length on either side of the edge; pixels.
_BIN, _HALF_LENGTH = 0.1, 14.0
#: HU of the outline of the body, points in an arc of it, and the most these may deviate from a circle (RMS, pixels).
_SKIN_HU, _ARC_POINTS, _MOST_DEVIATION = -500.0, 40, 0.15
#: HU that the air beside an arc never exceeds, and that the body never falls below.
_AIR_HU_BELOW, _BODY_HU_ABOVE = -850, -300

#: Frequencies, cycles per mm, and values there; ``[F]`` each.
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class EdgeProfiles:
    """Pixel values by their distance from an edge, in units that can be combined: slices, pieces of skin.

    Attributes
    ----------
    counts, sums
        ``[U, 280]``: number and sum of the pixel values in bins of a tenth of a pixel.
    slices
        The slice of each unit.
    """

    counts: NDArray[np.float64]
    sums: NDArray[np.float64]
    slices: tuple[int, ...]

    def transfer(self, pixel_spacing_mm: float, weights: NDArray[np.float64] | None = None) -> Curve:
        """Return frequency and TTF of all units together, each with a weight, ``[U]``; see :func:`ttf`."""
        weights = np.ones(len(self.slices)) if weights is None else weights
        return _transfer(weights @ self.counts, weights @ self.sums, pixel_spacing_mm)


def disc_profiles(images: Sequence[NDArray[np.floating]], centre: tuple[float, float], radius: float) -> EdgeProfiles:
    """Return the profile of the edge of a disc in each image; parameters as for :func:`ttf`."""
    rows, columns = np.indices(images[0].shape)
    distance = np.hypot(rows - centre[0], columns - centre[1]) - radius
    near = np.abs(distance) < _HALF_LENGTH
    return _profiles([(index, distance[near], image[near]) for index, image in enumerate(images)])


def skin_profiles(images: Sequence[NDArray[np.floating]], skins: Sequence[Sequence[Arc]]) -> EdgeProfiles:
    """Return the profile of each piece of skin.

    Parameters
    ----------
    images
        ``[H, W]`` HU each.
    skins
        Arcs of each image from :func:`skin_arcs`.
    """
    found = []
    for index, (image, arcs) in enumerate(zip(images, skins, strict=True)):
        for arc in arcs:
            box = arc.box(image.shape)
            rows, columns = np.mgrid[box]
            y, x = rows - arc.centre[0], columns - arc.centre[1]
            distance = np.hypot(y, x) - arc.radius
            along = np.abs(np.angle(np.exp(1j * (np.arctan2(y, x) - arc.middle))))
            near = (np.abs(distance) < _HALF_LENGTH) & (along < arc.half)
            # With the sign reversed for concave arcs, air has positive distances at all of them.
            found.append((index, distance[near] * (1 if arc.convex else -1), image[box][near]))
    return _profiles(found)


def ttf(
    images: Sequence[NDArray[np.floating]], centre: tuple[float, float], radius: float, pixel_spacing_mm: float
) -> Curve:
    """Measure the task transfer function at the edge of a disc, by the circular-edge method.

    The pixels near the edge, ordered by their distance from the centre, form one oversampled edge profile; its
    derivative is the line spread function, whose Fourier transform is the TTF (Richard et al. 2012; AAPM TG-233,
    §3.2.2).

    Parameters
    ----------
    images
        ``[H, W]`` HU each, of the same disc; they are averaged to reduce noise.
    centre, radius
        Row and column of the centre, and radius, in pixels.
    pixel_spacing_mm
        Pixel spacing.

    Returns
    -------
    frequency, ttf
        ``[F]`` cycles per mm from 0 to the Nyquist frequency, and the TTF there, 1 at 0.
    """
    return disc_profiles(images, centre, radius).transfer(pixel_spacing_mm)


def skin_ttf(images: Sequence[NDArray[np.floating]], skins: Sequence[Sequence[Arc]], pixel_spacing_mm: float) -> Curve:
    """Measure the task transfer function at the skin of a patient, as :func:`ttf` does at inserts.

    The skin is thin with fat beneath it, so the curve serves only to compare images of one patient (Sanders et al.
    2016, *Patient-specific quantification of image quality*). Parameters are those of :func:`skin_profiles`; there must
    be at least one arc.
    """
    return skin_profiles(images, skins).transfer(pixel_spacing_mm)


@dataclass(frozen=True)
class Arc:
    """A circular piece of the outline of the body.

    Attributes
    ----------
    centre, radius
        Row and column of the centre of the circle, and its radius, in pixels.
    middle, half
        Angle of the middle of the arc, and half of its angular extent, in radians.
    convex
        Whether the body lies on the same side as the centre.
    """

    centre: tuple[float, float]
    radius: float
    middle: float
    half: float
    convex: bool

    def box(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Return the rows and columns of an image of this shape that hold all pixels near the arc."""
        angles = self.middle + np.linspace(-self.half, self.half, 17)
        limits = []
        for centre, along, side in zip(self.centre, (np.sin(angles), np.cos(angles)), shape, strict=True):
            ends = centre + np.concatenate([(self.radius + far) * along for far in (-_HALF_LENGTH, _HALF_LENGTH)])
            limits.append(slice(max(0, int(ends.min()) - 2), min(side, int(ends.max()) + 3)))
        return limits[0], limits[1]


def skin_arcs(image: NDArray[np.floating]) -> list[Arc]:
    """Find the smooth pieces of the outline of the body that have only air beside them.

    Parameters
    ----------
    image
        ``[H, W]`` HU, the least noisy that there is.
    """
    contours = find_contours(gaussian_filter(np.asarray(image, np.float64), 1.0), _SKIN_HU)
    if not contours:
        return []
    outline = max(contours, key=len)
    starts = range(0, len(outline) - _ARC_POINTS, _ARC_POINTS)
    arcs = (_arc(image, outline[start : start + _ARC_POINTS]) for start in starts)
    return [arc for arc in arcs if arc]


def _arc(image: NDArray[np.floating], points: NDArray[np.float64]) -> Arc | None:
    """Fit a circle to points of the outline, ``[N, 2]``; None if they are no arc with air beside it."""
    # Least squares (Kåsa 1976).
    system = np.column_stack((points, np.ones(len(points))))
    (a, b, c), *_ = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)
    centre = np.array([a / 2, b / 2])
    radius = float(np.sqrt(max(c + centre @ centre, 0)))
    distance = np.hypot(*(points - centre).T)
    if radius < 2 * _HALF_LENGTH or np.std(distance - radius) > _MOST_DEVIATION:
        return None
    angles = np.arctan2(*(points - centre).T)
    middle = float(np.angle(np.exp(1j * angles).mean()))
    half = float(np.abs(np.angle(np.exp(1j * (angles - middle)))).max())
    direction = np.array([np.sin(middle), np.cos(middle)])
    outside, inside = (_profile(image, centre, radius, direction, sign) for sign in (1, -1))
    if outside.size == 0 or inside.size == 0:
        return None
    convex = bool(outside.mean() <= inside.mean())
    air, body = (outside, inside) if convex else (inside, outside)
    if air.max() > _AIR_HU_BELOW or body.min() < _BODY_HU_ABOVE:
        return None
    return Arc((centre[0], centre[1]), radius, middle, half, convex)


def _profile(
    image: NDArray[np.floating], centre: NDArray[np.float64], radius: float, direction: NDArray[np.float64], sign: int
) -> NDArray[np.floating]:
    """Return HU along a radius, from 4 pixels beyond the circle outwards (1) or inwards (−1); empty off the image."""
    steps = np.arange(4.0, _HALF_LENGTH)
    at = np.round(centre + np.outer(radius + sign * steps, direction)).astype(int)
    inside = np.all((at >= 0) & (at < image.shape), axis=1)
    return image[tuple(at.T)] if inside.all() else image[:0].ravel()


def falling_frequency(frequency: NDArray[np.float64], transfer: NDArray[np.float64], level: float = 0.5) -> float:
    """Return where a TTF first falls to a level, cycles per mm, or else its last frequency; TTF50 by default."""
    below = np.flatnonzero(transfer < level)
    if below.size == 0:
        return float(frequency[-1])
    last = below[0]
    return float(np.interp(level, transfer[[last, last - 1]], frequency[[last, last - 1]]))


def ttf50(
    images: Sequence[NDArray[np.floating]], centre: tuple[float, float], radius: float, pixel_spacing_mm: float
) -> float:
    """Return TTF50 at a disc, cycles per mm, or the Nyquist frequency if the TTF never falls to one half."""
    return falling_frequency(*ttf(images, centre, radius, pixel_spacing_mm))


def _profiles(units: Sequence[tuple[int, NDArray[np.float64], NDArray[np.floating]]]) -> EdgeProfiles:
    """Bin the slice, distances from the edge in pixels ``[N]`` and values ``[N]`` of each unit."""
    bins = round(2 * _HALF_LENGTH / _BIN)
    counts, sums = np.zeros((len(units), bins)), np.zeros((len(units), bins))
    for unit, (_, distance, value) in enumerate(units):
        index = np.floor((distance + _HALF_LENGTH) / _BIN).astype(int).clip(0, bins - 1)
        counts[unit] = np.bincount(index, minlength=bins)
        sums[unit] = np.bincount(index, value, minlength=bins)
    return EdgeProfiles(counts, sums, tuple(slice_ for slice_, _, _ in units))


def _transfer(counts: NDArray[np.float64], sums: NDArray[np.float64], pixel_spacing_mm: float) -> Curve:
    """Return the TTF of an edge profile: number and sum of the values in each bin."""
    bins = len(counts)
    middle = (np.arange(bins) + 0.5) * _BIN - _HALF_LENGTH
    edge = np.asarray(np.interp(middle, middle[counts > 0], sums[counts > 0] / counts[counts > 0]))
    spread = np.diff(edge) * tukey(bins - 1)
    padded = 1 << 12
    transfer = np.abs(np.fft.rfft(spread, padded))
    frequency = np.arange(padded // 2 + 1) / (padded * _BIN * pixel_spacing_mm)
    kept = frequency <= 0.5 / pixel_spacing_mm
    # Both binning and differences attenuate by a sinc of the bin width.
    width = np.sinc(frequency[kept] * _BIN * pixel_spacing_mm) ** 2
    return frequency[kept], transfer[kept] / transfer[0] / width
