"""How noisy a series is, and the scan that makes noise like it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ctdenoise.errors import InputError
from ctdenoise.noise.lowdose import KERNELS, Kernel, Scan, dose_noise

#: Of a region, pixels a side.
SIDE = 32
#: Fewest and most regions to measure in.
FEWEST, MOST = 6, 30
_SOFT_TISSUE = (-150.0, 200.0)
#: Below it, cycles per mm, what is left of anatomy is stronger than noise.
ANATOMY_PER_MM = 0.15
_PROBE_PHOTONS = 1e6


@dataclass(frozen=True)
class Noise:
    """Noise in uniform regions.

    Attributes
    ----------
    std
        Standard deviation, HU.
    frequency
        ``[F]`` cycles per mm.
    power
        ``[F]`` radial noise power spectrum, HU² mm².
    spectrum
        ``[32, 32]`` noise power spectrum, HU² mm², in the order of :func:`numpy.fft.fftfreq`; its sum times the area of
        a bin is the variance.
    """

    std: float
    frequency: NDArray[np.float64]
    power: NDArray[np.float64]
    spectrum: NDArray[np.float64]

    @property
    def mean_frequency(self) -> float:
        """Of the radial spectrum, cycles per mm."""
        return float((self.frequency * self.power).sum() / max(self.power.sum(), 1e-30))

    def above(self, frequency: float) -> Noise:
        """Return what lies above a frequency, cycles per mm."""
        kept = self.frequency >= frequency
        plane = self.frequency * self.power
        share = plane[kept].sum() / max(plane.sum(), 1e-30)
        return replace(
            self, std=self.std * float(np.sqrt(share)), frequency=self.frequency[kept], power=self.power[kept]
        )

    @property
    def peak_frequency(self) -> float:
        """Where the radial spectrum, smoothed by a parabola about its highest value, has its peak; cycles per mm."""
        smooth = np.convolve(self.power, (0.25, 0.5, 0.25), mode="same")
        return float(self.frequency[1:-1][np.argmax(smooth[1:-1])])


Region = tuple[int, int, int]


def evenly_spread(count: int, most: int) -> list[int]:
    """Return at most so many of `count` indices, evenly spread: slices that stand for a series."""
    chosen: list[int] = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
    return chosen


def uniform_regions(slices: Sequence[NDArray[np.float32]]) -> list[Region]:
    """Find the squares of 32 × 32 pixels in soft tissue with the least structure.

    What counts as structure is what a Gaussian of 2.5 pixels leaves, so that little noise is preferred as little as
    possible.

    Parameters
    ----------
    slices
        ``[H, W]`` HU each.

    Returns
    -------
    list
        Index of the slice, first row, first column; the most uniform first, a tenth of all, 30 at most: more of them
        would have structure that counts as noise.
    """
    found: list[tuple[float, Region]] = []
    for index, hu in enumerate(slices):
        smooth = gaussian_filter(np.clip(hu, -1024, 1024), 2.5)
        for row in range(0, hu.shape[0] - SIDE + 1, SIDE // 2):
            for column in range(0, hu.shape[1] - SIDE + 1, SIDE // 2):
                region = smooth[row : row + SIDE, column : column + SIDE]
                if _SOFT_TISSUE[0] < region.min() and region.max() < _SOFT_TISSUE[1]:
                    found.append((float(_detrended(region).std()), (index, row, column)))
    found.sort()
    return [region for _, region in found[: min(MOST, max(FEWEST, len(found) // 10))]]


def measure_noise(
    slices: Sequence[NDArray[np.float32]] | Mapping[int, NDArray[np.float32]],
    regions: Sequence[Region],
    pixel_mm: float,
) -> Noise:
    """Measure noise in regions: standard deviation and power spectrum, each region less its second-order trend.

    Radial average of the two-dimensional spectrum (ICRU report 87; AAPM TG-233, §3.2.3).

    Parameters
    ----------
    slices, pixel_mm
        ``[H, W]`` HU each, by the index that regions have, and their pixel spacing.
    regions
        From :func:`uniform_regions`.
    """
    cut = [_detrended(slices[i][r : r + SIDE, c : c + SIDE].astype(np.float64)) for i, r, c in regions]
    power = np.mean([np.abs(np.fft.fft2(region)) ** 2 for region in cut], axis=0) * pixel_mm**2 / SIDE**2
    radial = _radial(power)
    std = float(np.sqrt(np.mean([region.var() for region in cut])))
    return Noise(std, np.arange(len(radial)) / (SIDE * pixel_mm), radial, power)


def match_scan(
    slices: Sequence[NDArray[np.float32]],
    pixel_mm: float,
    *,
    kernel: Kernel | None = None,
    photons: float | None = None,
    electronic: float = 10.0,
    currents: Sequence[float] | None = None,
) -> Scan:
    """Find the photons and the kernel whose noise is like that of a series, in its own uniform regions.

    The kernel is the one that turns the power spectrum that a ramp would have there into the one that is measured. The
    photons are those that make as much noise behind the very same patient, in the median of the regions, as some have
    structure that counts as noise. Both are looked at above 0.15 cycles per mm only: below, what is left of anatomy is
    stronger than noise.

    Parameters
    ----------
    slices, pixel_mm
        Some slices of the series, ``[H, W]`` HU, and their pixel spacing.
    kernel, photons
        Where one is known, only the other is looked for.
    electronic
        As of :class:`~ctdenoise.noise.lowdose.Scan`.
    currents
        Tube current of each slice, relative to the one that the photons are for; none means one for all.

    Raises
    ------
    InputError
        If there is too little uniform soft tissue to measure in.
    """
    if kernel and photons:
        return Scan(photons=photons, electronic=electronic, kernel=kernel)
    regions = uniform_regions(slices)
    if len(regions) < FEWEST:
        raise InputError(
            f"expected at least {FEWEST} uniform regions of soft tissue to measure noise in, found {len(regions)}",
            hint="tell the scan: --photons 1e5 --kernel smooth",
        )
    # The kernel is looked for in the slice with the most regions, the number of photons in all of them.
    here = max(([region for region in regions if region[0] == i] for i in range(len(slices))), key=len)

    def simulate(scan: Scan, wanted: Sequence[Region]) -> dict[int, NDArray[np.float32]]:
        # At half the dose, as much quantum noise is added as there is at full dose.
        noise = {}
        for i in sorted({region[0] for region in wanted}):
            one = replace(scan, photons=scan.photons * (currents[i] if currents else 1))
            noise[i] = dose_noise(slices[i], pixel_mm=pixel_mm, dose=0.5, scan=one, rng=np.random.default_rng(i))
        return noise

    def measure(
        images: Sequence[NDArray[np.float32]] | Mapping[int, NDArray[np.float32]], wanted: Sequence[Region]
    ) -> Noise:
        return measure_noise(images, wanted, pixel_mm).above(ANATOMY_PER_MM)

    scan = Scan(photons=_PROBE_PHOTONS, electronic=0.0)
    if kernel is None:
        there = measure(slices, here)
        ramp = measure(simulate(replace(scan, kernel=KERNELS["ramp"]), here), here).power
        ratio = np.convolve(np.pad(there.power / ramp, 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")
        # H(0) is 1, so the lowest frequencies are continued as a Gaussian.
        level = np.polyfit(there.frequency[:5] ** 2, np.log(ratio[:5]), 1)[1]
        response = np.sqrt(ratio / np.exp(level))
        curve = zip(there.frequency.tolist(), response.tolist(), strict=True)
        kernel = Kernel("measured", curve=((0.0, 1.0), *((round(f, 4), round(h, 4)) for f, h in curve)))
    if photons is None:
        scan = replace(scan, kernel=kernel)
        silent = simulate(scan, regions)
        ratio = np.median([(measure(slices, [one]).std / measure(silent, [one]).std) ** 2 for one in regions])
        own = 0.0
        if electronic:
            # It adds three times its full-dose variance at half the dose; a hundredfold, to see it.
            loud = simulate(replace(scan, electronic=10 * electronic), here)
            own = max(0.0, (measure(loud, here).std / measure(silent, here).std) ** 2 - 1) / 300
        # In variances relative to the probe's quantum noise: ratio = u + own · u², u = probe's photons / photons.
        u = 2 * ratio / (1 + np.sqrt(1 + 4 * own * ratio))
        photons = float(f"{_PROBE_PHOTONS / u:.3g}")
    return Scan(photons=photons, electronic=electronic, kernel=kernel)


def _detrended(region: NDArray[np.floating]) -> NDArray[np.float64]:
    residual: NDArray[np.float64] = (region.ravel() - _TREND @ (_TREND.T @ region.ravel())).reshape(region.shape)
    return residual


def _trend() -> NDArray[np.float64]:
    y, x = (axis.ravel() / SIDE for axis in np.mgrid[:SIDE, :SIDE])
    basis: NDArray[np.float64] = np.linalg.qr(np.stack((np.ones_like(x), x, y, x * y, x**2, y**2), axis=1))[0]
    return basis


def _radial(power: NDArray[np.float64]) -> NDArray[np.float64]:
    ring = np.round(np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIDE) * SIDE] * 2))).astype(int)
    inside = ring <= SIDE // 2
    mean: NDArray[np.float64] = np.bincount(ring[inside], power[inside]) / np.bincount(ring[inside])
    return mean


_TREND = _trend()
#: What is left of white noise in a radial spectrum when the trend is taken away: nothing at 0, most from the third on.
LEFT_OF_WHITE = _radial(1 - np.sum(np.abs(np.fft.fft2(_TREND.T.reshape(-1, SIDE, SIDE))) ** 2, axis=0) / SIDE**2)
