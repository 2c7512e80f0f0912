"""Scan parameters whose simulated noise matches that of a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctdenoise.errors import InputError
from ctdenoise.noise.lowdose import KERNELS, Kernel, Scan, dose_noise
from ctdenoise.noise.measure import ANATOMY_PER_MM, MIN_REGIONS, Noise, Region, measure_noise, uniform_regions

#: Photons of the simulated scan that the measured one is compared with.
_PROBE_PHOTONS = 1e6


def match_scan(
    slices: Sequence[NDArray[np.float32]],
    pixel_mm: float,
    *,
    kernel: Kernel | None = None,
    photons: float | None = None,
    electronic: float = 10.0,
    currents: Sequence[float] | None = None,
) -> Scan:
    """Estimate the number of photons and the kernel of a series from the noise in its uniform regions.

    The kernel's response is the root of the ratio between the measured power spectrum and that of a simulated scan with
    a ramp kernel in the same regions. The number of photons is the one whose simulated noise behind the same patient
    equals the measured noise; the median over regions is taken, as some have structure that is measured as noise. Both
    use frequencies above 0.15 cycles per mm only: below, residual anatomy is stronger than noise.

    Parameters
    ----------
    slices
        Some slices of the series, ``[H, W]`` HU each.
    pixel_mm
        Pixel spacing.
    kernel, photons
        Known values; only what is None is estimated.
    electronic
        Electronic noise, as in :class:`~ctdenoise.noise.lowdose.Scan`.
    currents
        Tube current of each slice relative to the one that the photons are for; None if it is the same for all.

    Raises
    ------
    InputError
        If there are fewer than 6 uniform regions of soft tissue.
    """
    if kernel and photons:
        return Scan(photons=photons, electronic=electronic, kernel=kernel)
    regions = uniform_regions(slices)
    if len(regions) < MIN_REGIONS:
        raise InputError(
            f"expected at least {MIN_REGIONS} uniform regions of soft tissue to measure noise in, found {len(regions)}",
            hint="give the scan parameters: --photons 1e5 --kernel smooth",
        )
    # The kernel is estimated in the slice with the most regions, the number of photons in all slices.
    best = max(([region for region in regions if region[0] == i] for i in range(len(slices))), key=len)
    probe = _Probe(slices, pixel_mm, currents)
    if kernel is None:
        kernel = _match_kernel(probe, best)
    if photons is None:
        photons = _match_photons(probe, regions, best, kernel, electronic)
    return Scan(photons=photons, electronic=electronic, kernel=kernel)


@dataclass(frozen=True)
class _Probe:
    """Slices of a series, and noise simulated for them.

    Attributes
    ----------
    slices, pixel_mm, currents
        As in :func:`match_scan`.
    """

    slices: Sequence[NDArray[np.float32]]
    pixel_mm: float
    currents: Sequence[float] | None

    def simulate(self, regions: Sequence[Region], kernel: Kernel, electronic: float) -> dict[int, NDArray[np.float32]]:
        """Return the noise that halving the dose of a scan adds to the slices that have `regions`, by slice index.

        Its quantum noise is as strong as that of the scan itself.
        """
        noise = {}
        for i in sorted({region[0] for region in regions}):
            photons = _PROBE_PHOTONS * (self.currents[i] if self.currents else 1)
            scan = Scan(photons=photons, electronic=electronic, kernel=kernel)
            rng = np.random.default_rng(i)
            noise[i] = dose_noise(self.slices[i], pixel_mm=self.pixel_mm, dose=0.5, scan=scan, rng=rng)
        return noise

    def measure(
        self, images: Sequence[NDArray[np.float32]] | Mapping[int, NDArray[np.float32]], regions: Sequence[Region]
    ) -> Noise:
        """Return the noise of images in `regions`, above the frequencies of anatomy."""
        return measure_noise(images, regions, self.pixel_mm).above(ANATOMY_PER_MM)


def _match_kernel(probe: _Probe, regions: Sequence[Region]) -> Kernel:
    """Return the kernel that turns the noise spectrum of a ramp kernel into the measured one."""
    measured = probe.measure(probe.slices, regions)
    ramp = probe.measure(probe.simulate(regions, KERNELS["ramp"], 0.0), regions).power
    ratio = np.convolve(np.pad(measured.power / ramp, 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")
    # H(0) is 1: a Gaussian fitted to the lowest frequencies gives the ratio's value there.
    level = np.polyfit(measured.frequency[:5] ** 2, np.log(ratio[:5]), 1)[1]
    response = np.sqrt(ratio / np.exp(level))
    curve = zip(measured.frequency.tolist(), response.tolist(), strict=True)
    return Kernel("measured", curve=((0.0, 1.0), *((round(f, 4), round(h, 4)) for f, h in curve)))


def _match_photons(
    probe: _Probe, regions: Sequence[Region], best: Sequence[Region], kernel: Kernel, electronic: float
) -> float:
    """Return the number of photons that makes as much noise as is measured, to three significant digits."""
    quantum = probe.simulate(regions, kernel, 0.0)
    ratio = np.median(
        [(probe.measure(probe.slices, [one]).std / probe.measure(quantum, [one]).std) ** 2 for one in regions]
    )
    electronic_share = 0.0
    if electronic:
        # Halving the dose adds three times the full-dose variance of electronic noise. That is too little to measure,
        # so ten times its standard deviation is simulated: 300 times the variance.
        amplified = probe.simulate(best, kernel, 10 * electronic)
        added = (probe.measure(amplified, best).std / probe.measure(quantum, best).std) ** 2 - 1
        electronic_share = max(0.0, added) / 300
    # In variances relative to the probe's quantum noise, with u = probe's photons / photons:
    # ratio = u + electronic_share · u².
    u = 2 * ratio / (1 + np.sqrt(1 + 4 * electronic_share * ratio))
    return float(f"{_PROBE_PHOTONS / u:.3g}")
