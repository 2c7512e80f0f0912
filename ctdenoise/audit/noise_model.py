"""The noise of a series as a random field: its own power spectrum, and its local strength in each slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, percentile_filter, zoom

from ctdenoise.noise.measure import MIN_REGIONS, REGION_SIZE, Region, measure_noise, uniform_regions
from ctdenoise.noise.soft_tissue import measure_soft_tissue_noise

Image = NDArray[np.float32]

#: Side of the blocks in which local noise is measured, pixels, and number of blocks across a neighbourhood of them.
_BLOCK, _BLOCKS = 8, 5
#: Percentile over a neighbourhood: blocks with anatomy have more than the noise, so that a low one is taken.
_PERCENTILE = 30
#: Standard deviation of the Gaussian that takes anatomy out before local noise is measured, mm.
_HIGH_PASS_MM = 1.0
#: Least noise that is assumed, HU: values are stored in whole HU.
LEAST_HU = 0.3
#: HU outside of which values are no anatomy, for measuring.
_RANGE_HU = (-1024.0, 3072.0)
#: Standard deviation of a normal distribution over its median absolute value.
_MAD_TO_STD = 1.4826


@dataclass(frozen=True)
class NoiseModel:
    """Noise of a series.

    Attributes
    ----------
    pixel_mm
        Pixel spacing.
    std
        Standard deviation in uniform soft tissue, HU.
    spectrum
        Two-dimensional power spectrum, ``[32, 32]`` in the order of :func:`numpy.fft.fftfreq`, of mean 1.
    measured
        Whether the spectrum was measured in this series; otherwise it is that of noise smoothed to the measured mean
        frequency, because there are too few uniform regions.
    """

    pixel_mm: float
    std: float
    spectrum: NDArray[np.float64]
    measured: bool

    def unit_field(self, shape: tuple[int, int], rng: np.random.Generator) -> Image:
        """Simulate stationary noise of this spectrum with a standard deviation of 1, ``[H, W]``."""
        amplitude = _amplitude(self.spectrum, shape)
        field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * amplitude, s=shape)
        return np.asarray(field, np.float32)

    def local_std(self, image: Image) -> Image:
        """Measure the standard deviation of the noise at each pixel of a slice, HU.

        The median magnitude of the high-pass filtered slice in blocks of 8 × 8 pixels, a low percentile of it over
        5 × 5 blocks, because blocks with anatomy have more than the noise; scaled by what the same measurement gives in
        simulated noise of known strength.

        Parameters
        ----------
        image
            ``[H, W]`` HU.

        Returns
        -------
        ndarray
            ``[H, W]``, at least :data:`LEAST_HU`.
        """
        blocks = _block_noise(_clean(image), self.pixel_mm) / self._measured_of_unit_field()
        factors = [n / m for n, m in zip(image.shape, blocks.shape, strict=True)]
        smooth = zoom(gaussian_filter(blocks, 1.0, mode="nearest"), factors, order=1, mode="nearest", grid_mode=True)
        local: Image = np.maximum(smooth[: image.shape[0], : image.shape[1]], LEAST_HU).astype(np.float32)
        return local

    def _measured_of_unit_field(self) -> float:
        """Return what the measurement of local noise gives for noise with a standard deviation of 1."""
        field = self.unit_field((256, 256), np.random.default_rng(0))
        return float(np.median(_block_noise(field, self.pixel_mm)))


def noise_regions(slices: Sequence[Image]) -> list[Region]:
    """Find the regions that noise is measured in; fewer than 6 are too few to measure it."""
    return uniform_regions([_clean(image) for image in slices])


def noise_in(slices: Sequence[Image], regions: Sequence[Region], pixel_mm: float) -> float | None:
    """Return the standard deviation of the noise in regions, HU; None where there are too few."""
    if len(regions) < MIN_REGIONS:
        return None
    return measure_noise([_clean(image) for image in slices], regions, pixel_mm).std


def measure_noise_model(
    slices: Sequence[Image], pixel_mm: float, regions: Sequence[Region] | None = None
) -> NoiseModel:
    """Measure the noise of a series in some of its slices.

    Parameters
    ----------
    slices
        ``[H, W]`` HU each.
    pixel_mm
        Pixel spacing.
    regions
        Of :func:`noise_regions`; None finds them.
    """
    clean = [_clean(image) for image in slices]
    regions = noise_regions(slices) if regions is None else regions
    if len(regions) >= MIN_REGIONS:
        noise = measure_noise(clean, regions, pixel_mm)
        if noise.std > 0:
            return NoiseModel(pixel_mm, noise.std, _normalised(noise.spectrum), measured=True)
    found = [n for image in clean if (n := measure_soft_tissue_noise(image, pixel_mm))]
    std = float(np.median([n.std for n in found])) if found else _body_noise(clean, pixel_mm)
    frequency = float(np.median([n.mean_frequency for n in found])) if found else 0.3
    axis = np.fft.fftfreq(REGION_SIZE, pixel_mm)
    radius = np.hypot(*np.meshgrid(axis, axis))
    # Ramp times Gaussian, whose root-mean-square frequency is twice the Gaussian's width over root 2.
    spectrum = (radius + 0.02) * np.exp(-((radius / max(frequency, 0.05)) ** 2) * 1.5)
    return NoiseModel(pixel_mm, std, _normalised(spectrum), measured=False)


def _clean(image: Image) -> Image:
    return np.clip(np.nan_to_num(image, nan=_RANGE_HU[0]), *_RANGE_HU).astype(np.float32)


def _body_noise(slices: Sequence[Image], pixel_mm: float) -> float:
    """Return the noise of high frequencies outside of air, HU: where there is no soft tissue."""
    values = []
    for image in slices:
        smooth = gaussian_filter(image, _HIGH_PASS_MM / pixel_mm)
        values.append(np.abs(image - smooth)[smooth > -950])
    found = np.concatenate(values) if values else np.empty(0)
    return max(LEAST_HU, _MAD_TO_STD * float(np.median(found))) if found.size else LEAST_HU


def _normalised(spectrum: NDArray[np.float64]) -> NDArray[np.float64]:
    return spectrum / max(float(spectrum.mean()), 1e-12)


def _amplitude(spectrum: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the root of a spectrum at the frequencies of a real Fourier transform of `shape`; mean square 1."""
    shifted = np.fft.fftshift(spectrum)
    rows = np.fft.fftfreq(shape[0]) * REGION_SIZE + REGION_SIZE // 2
    columns = np.fft.rfftfreq(shape[1]) * REGION_SIZE + REGION_SIZE // 2
    at = np.meshgrid(rows, columns, indexing="ij")
    amplitude: NDArray[np.float64] = np.sqrt(np.maximum(map_coordinates(shifted, at, order=1, mode="grid-wrap"), 0.0))
    # Each column but the first and the last stands for two.
    weights = np.full(amplitude.shape[1], 2.0)
    weights[0] = 1.0
    mean = float((amplitude**2 * weights).sum() / (weights.sum() * amplitude.shape[0]))
    amplitude /= np.sqrt(mean)
    return amplitude


def _block_noise(image: Image, pixel_mm: float) -> NDArray[np.float64]:
    high = np.abs(image - gaussian_filter(image, _HIGH_PASS_MM / pixel_mm, truncate=3))
    rows, columns = (-(-n // _BLOCK) for n in image.shape)
    padded = np.pad(high, ((0, rows * _BLOCK - image.shape[0]), (0, columns * _BLOCK - image.shape[1])), mode="edge")
    blocks = padded.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2).reshape(rows, columns, -1)
    medians = _MAD_TO_STD * np.median(blocks, axis=2)
    return np.asarray(percentile_filter(medians, _PERCENTILE, _BLOCKS, mode="nearest"), np.float64)
