"""Standard deviation and power spectrum of the noise in uniform regions of a series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

#: Rows and columns of a region, pixels.
REGION_SIZE = 32
#: Smallest number of regions that a measurement needs, and largest that it uses.
MIN_REGIONS, MAX_REGIONS = 6, 30
#: Range of soft tissue, HU.
SOFT_TISSUE_HU = (-150.0, 200.0)
#: Frequency below which residual anatomy is stronger than noise, cycles per mm.
ANATOMY_PER_MM = 0.15


@dataclass(frozen=True)
class Noise:
    """Noise in uniform regions.

    Attributes
    ----------
    std
        Standard deviation, HU.
    frequency
        Frequencies of the radial spectrum, ``[F]``, cycles per mm.
    power
        Radially averaged noise power spectrum, ``[F]``, HU² mm².
    spectrum
        Two-dimensional noise power spectrum, ``[32, 32]``, HU² mm², in the order of :func:`numpy.fft.fftfreq`; its sum
        times the area of a bin is the variance.
    """

    std: float
    frequency: NDArray[np.float64]
    power: NDArray[np.float64]
    spectrum: NDArray[np.float64]

    @property
    def mean_frequency(self) -> float:
        """Mean frequency of the radial spectrum, cycles per mm (``f_av`` of AAPM TG-233)."""
        return float((self.frequency * self.power).sum() / max(self.power.sum(), 1e-30))

    def above(self, frequency: float) -> Noise:
        """Return the part of the noise from `frequency`, cycles per mm, upward."""
        kept = self.frequency >= frequency
        plane = self.frequency * self.power
        share = plane[kept].sum() / max(plane.sum(), 1e-30)
        return replace(
            self, std=self.std * float(np.sqrt(share)), frequency=self.frequency[kept], power=self.power[kept]
        )

    @property
    def peak_frequency(self) -> float:
        """Peak frequency of the radial spectrum, smoothed over three bins; cycles per mm."""
        smooth = np.convolve(self.power, (0.25, 0.5, 0.25), mode="same")
        return float(self.frequency[1:-1][np.argmax(smooth[1:-1])])


#: Index of the slice, first row, first column.
Region = tuple[int, int, int]


def evenly_spread(count: int, maximum: int) -> list[int]:
    """Return at most `maximum` indices, evenly spread over ``range(count)``."""
    chosen: list[int] = np.unique(np.linspace(0, count - 1, min(count, maximum)).round().astype(int)).tolist()
    return chosen


def uniform_regions(slices: Sequence[NDArray[np.float32]]) -> list[Region]:
    """Find the most uniform regions of 32 × 32 pixels in soft tissue.

    Uniformity is judged after smoothing with a Gaussian of 2.5 pixels, so that regions with low noise are preferred as
    little as possible.

    Parameters
    ----------
    slices
        ``[H, W]`` HU each.

    Returns
    -------
    list of Region
        The most uniform tenth of all regions, at least 6 where there are as many and at most 30, the most uniform
        first. In more of them, anatomical structure would be measured as noise.
    """
    found: list[tuple[float, Region]] = []
    for index, hu in enumerate(slices):
        smooth = gaussian_filter(np.clip(hu, -1024, 1024), 2.5)
        for row, column in soft_tissue_regions(smooth):
            region = smooth[row : row + REGION_SIZE, column : column + REGION_SIZE]
            found.append((float(detrended(region).std()), (index, row, column)))
    found.sort()
    return [region for _, region in found[: min(MAX_REGIONS, max(MIN_REGIONS, len(found) // 10))]]


def soft_tissue_regions(smooth: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """Yield first row and first column of each region of 32 × 32 pixels, half overlapping, that is all soft tissue.

    Parameters
    ----------
    smooth
        A smoothed slice, ``[H, W]`` HU.
    """
    for row in range(0, smooth.shape[0] - REGION_SIZE + 1, REGION_SIZE // 2):
        for column in range(0, smooth.shape[1] - REGION_SIZE + 1, REGION_SIZE // 2):
            region = smooth[row : row + REGION_SIZE, column : column + REGION_SIZE]
            if SOFT_TISSUE_HU[0] < region.min() and region.max() < SOFT_TISSUE_HU[1]:
                yield row, column


def measure_noise(
    slices: Sequence[NDArray[np.float32]] | Mapping[int, NDArray[np.float32]],
    regions: Sequence[Region],
    pixel_mm: float,
) -> Noise:
    """Measure standard deviation and power spectrum of the noise in regions.

    A second-order polynomial is subtracted from each region; the two-dimensional spectra are averaged over regions and
    radially (ICRU report 87; AAPM TG-233, §3.2.3). What the polynomial takes of the noise itself, at the lowest
    frequencies, is corrected by the share that it takes of white noise; without, the standard deviation of smooth noise
    would be up to 10 % too low.

    Parameters
    ----------
    slices
        ``[H, W]`` HU each, a sequence or a mapping from the slice index of the regions.
    regions
        From :func:`uniform_regions`; at least one.
    pixel_mm
        Pixel spacing.
    """
    return mean_noise(region_power(slices, regions, pixel_mm), pixel_mm)


def region_power(
    slices: Sequence[NDArray[np.float32]] | Mapping[int, NDArray[np.float32]],
    regions: Sequence[Region],
    pixel_mm: float,
) -> NDArray[np.float64]:
    """Return the noise power spectrum of each region, ``[N, 32, 32]`` HU² mm², corrected as in :func:`measure_noise`.

    Parameters are those of :func:`measure_noise`.
    """
    cut = [detrended(slices[i][r : r + REGION_SIZE, c : c + REGION_SIZE].astype(np.float64)) for i, r, c in regions]
    power = np.abs(np.fft.fft2(np.array(cut))) ** 2 * pixel_mm**2 / REGION_SIZE**2
    power[:, 1:] /= _DETRENDED_SHARE[1:]
    power[:, 0, 1:] /= _DETRENDED_SHARE[0, 1:]
    # Nothing is left at zero frequency: the mean of its neighbours.
    power[:, 0, 0] = np.mean([power[:, 0, 1], power[:, 1, 0], power[:, 0, -1], power[:, -1, 0]], axis=0)
    return power


def mean_noise(power: NDArray[np.float64], pixel_mm: float) -> Noise:
    """Return the noise that the spectra of regions, ``[N, 32, 32]``, have on average.

    Parameters
    ----------
    power
        From :func:`region_power`.
    pixel_mm
        Pixel spacing.
    """
    spectrum = power.mean(axis=0)
    radial = radial_mean(spectrum)
    std = float(np.sqrt(spectrum.sum())) / (REGION_SIZE * pixel_mm)
    return Noise(std, np.arange(len(radial)) / (REGION_SIZE * pixel_mm), radial, spectrum)


def detrended(region: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return a region, ``[32, 32]``, less its second-order trend."""
    residual: NDArray[np.float64] = (region.ravel() - _TREND @ (_TREND.T @ region.ravel())).reshape(region.shape)
    return residual


def _trend() -> NDArray[np.float64]:
    y, x = (axis.ravel() / REGION_SIZE for axis in np.mgrid[:REGION_SIZE, :REGION_SIZE])
    basis: NDArray[np.float64] = np.linalg.qr(np.stack((np.ones_like(x), x, y, x * y, x**2, y**2), axis=1))[0]
    return basis


def radial_mean(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the radial mean, ``[17]``, of a spectrum ``[32, 32]``, up to the Nyquist frequency."""
    ring = np.round(np.hypot(*np.meshgrid(*[np.fft.fftfreq(REGION_SIZE) * REGION_SIZE] * 2))).astype(int)
    inside = ring <= REGION_SIZE // 2
    mean: NDArray[np.float64] = np.bincount(ring[inside], power[inside]) / np.bincount(ring[inside])
    return mean


_TREND = _trend()
_TREND_SPECTRA = np.abs(np.fft.fft2(_TREND.T.reshape(-1, REGION_SIZE, REGION_SIZE))) ** 2
#: Share of white noise that subtracting the trend leaves in each bin of a spectrum, ``[32, 32]``: 0 at zero frequency,
#: 0.23 in the four next to it, nearly 1 in most.
_DETRENDED_SHARE = 1 - _TREND_SPECTRA.sum(axis=0) / REGION_SIZE**2
