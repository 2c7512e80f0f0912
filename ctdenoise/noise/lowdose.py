"""Quantum and electronic noise in a sinogram, its reconstruction, and a lower dose inserted into an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.transform import iradon, radon, resize

#: Linear attenuation of water at 70 keV, the effective energy of a 120 kV beam, per mm (NIST XCOM: 0.1929 cm²/g).
WATER_PER_MM = 0.01929
#: Diameter of the water cylinder that the bow-tie filter is made for, mm.
BOW_TIE_MM = 240.0


@dataclass(frozen=True)
class Kernel:
    """A reconstruction kernel: the ramp |f| times an apodisation H(f / cut-off), zero beyond the cut-off.

    Parameters
    ----------
    window
        Shape of H: ``ramp`` (1), ``shepp-logan``, ``cosine``, ``hamming`` or ``hann`` (Kak & Slaney 1988, §3.3;
        Riederer, Pelc & Chesler 1978), or ``measured``.
    cutoff_per_mm
        Cycles per mm; None is the Nyquist frequency of the image. Beyond that, nothing passes either.
    curve
        Of a measured one: frequency in cycles per mm and H there; linear in between.
    """

    window: Literal["ramp", "shepp-logan", "cosine", "hamming", "hann", "measured"]
    cutoff_per_mm: float | None = None
    curve: tuple[tuple[float, float], ...] = ()

    def response(self, frequency: ArrayLike, pixel_mm: float) -> NDArray[np.float64]:
        """Return H at `frequency`, cycles per mm, for rays `pixel_mm` apart."""
        absolute: NDArray[np.float64] = np.abs(np.asarray(frequency, np.float64))
        if self.window == "measured":
            known, values = np.transpose(self.curve)
            interpolated: NDArray[np.float64] = np.interp(absolute, known, values)
            return interpolated
        u = absolute / (self.cutoff_per_mm or 0.5 / pixel_mm)
        shapes = {
            "ramp": np.ones_like(u),
            "shepp-logan": np.sinc(u / 2),
            "cosine": np.cos(np.pi * u / 2),
            "hamming": 0.54 + 0.46 * np.cos(np.pi * u),
            "hann": 0.5 + 0.5 * np.cos(np.pi * u),
        }
        return np.where(u <= 1 + 1e-9, shapes[self.window], 0.0)


#: By name. ``smooth`` has the noise of a clinical soft-tissue kernel (peak near 0.25 cycles per mm), ``sharp`` that of
#: a detail kernel (near 0.5).
KERNELS = {
    "ramp": Kernel("ramp"),
    "shepp-logan": Kernel("shepp-logan"),
    "cosine": Kernel("cosine"),
    "hamming": Kernel("hamming"),
    "hann": Kernel("hann"),
    "smooth": Kernel("hann", 0.85),
    "sharp": Kernel("hann", 1.6),
}


@dataclass(frozen=True, kw_only=True)
class Scan:
    """How an image was scanned, as far as its noise depends on it.

    Parameters
    ----------
    photons
        Incident photons for each ray in the middle of the beam, N0, averaged over the views. A ray is as wide as a
        pixel.
    electronic
        Standard deviation of the detector's electronic noise, in photons.
    kernel
        Of the reconstruction.
    modulation
        Tube current follows the attenuation of each view's centre to this power: 0 is constant current, 0.5 the
        modulation that is best for noise (Gies et al. 1999).
    bow_tie
        How much of a cylinder of 240 mm of water the bow-tie filter makes up for: 0 to 1.
    views
        Projections over 180°.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    photons: float
    electronic: float = 10.0
    kernel: Kernel = KERNELS["smooth"]
    modulation: float = 0.5
    bow_tie: float = 0.5
    views: int = 540

    def __post_init__(self) -> None:
        for name, lowest in (("photons", 1e-9), ("electronic", 0), ("modulation", 0), ("bow_tie", 0), ("views", 1)):
            if getattr(self, name) < lowest:
                raise ValueError(f"{name}: expected a positive value, found {getattr(self, name)}")

    @property
    def angles(self) -> NDArray[np.float64]:
        """Of the views, degrees."""
        return np.linspace(0.0, 180.0, self.views, endpoint=False)

    def incident(self, sinogram: NDArray[np.float64], pixel_mm: float) -> NDArray[np.float64]:
        """Return the incident photons of each ray, the shape of `sinogram`, ``[D, A]`` line integrals."""
        offset = (np.arange(len(sinogram)) - len(sinogram) // 2) * pixel_mm
        radius = BOW_TIE_MM / 2
        water = 2 * (radius - np.sqrt(np.maximum(0.0, radius**2 - offset**2)))
        beam = np.exp(-self.bow_tie * WATER_PER_MM * water)
        centre = slice(len(sinogram) * 3 // 8, -(-len(sinogram) * 5 // 8))
        current = np.exp(self.modulation * sinogram[centre].mean(0))
        photons: NDArray[np.float64] = self.photons * beam[:, np.newaxis] * (current / current.mean())[np.newaxis]
        return photons


def add_noise(
    sinogram: NDArray[np.float64], *, photons: float, electronic: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Count photons instead of knowing their number.

    Monochromatic Beer-Lambert law with Poisson counts and Gaussian electronic noise (Zeng et al. 2015, A simple
    low-dose X-ray CT simulation from high-dose scan).

    Parameters
    ----------
    sinogram
        Line integrals of attenuation, without unit.
    photons
        Incident photons for each ray, N0; dose is proportional to it.
    electronic
        Standard deviation of electronic noise, in photons.
    rng
        Source of randomness.

    Returns
    -------
    ndarray
        Noisy line integrals; rays with less than one photon count as one.
    """
    counts = rng.poisson(photons * np.exp(-sinogram)) + rng.normal(0.0, electronic, sinogram.shape)
    return -np.log(np.maximum(counts, 1.0) / photons)


def reconstruct(
    sinogram: NDArray[np.float64],
    *,
    angles: NDArray[np.float64],
    pixel_mm: float,
    kernel: Kernel,
    size: int | None = None,
) -> NDArray[np.float32]:
    """Reconstruct by filtered back-projection.

    Parameters
    ----------
    sinogram
        ``[D, A]`` line integrals of attenuation, parallel rays `pixel_mm` apart.
    angles
        ``[A]``, degrees.
    pixel_mm
        Also the pixel spacing of the image.
    kernel
        What filters the projections.
    size
        N of the image; None takes D, and what is outside the inscribed circle is then −1000.

    Returns
    -------
    ndarray
        ``[N, N]`` float32 HU.
    """
    # Zero-padded, so that the two ends of a projection do not meet.
    length = 1 << int(np.ceil(np.log2(2 * len(sinogram))))
    n = np.concatenate((np.arange(length // 2 + 1), np.arange(length // 2 - 1, 0, -1)))
    # The ramp as its samples in space (Kak & Slaney 1988, eq. 61), which keeps the mean right; doubled for iradon.
    ramp = np.where(n % 2 == 1, -1 / (np.pi * np.maximum(n, 1)) ** 2, 0.0)
    ramp[0] = 0.25
    filtering = 2 * np.fft.rfft(ramp).real * kernel.response(np.fft.rfftfreq(length, pixel_mm), pixel_mm)
    filtered = np.fft.irfft(np.fft.rfft(sinogram, length, axis=0) * filtering[:, np.newaxis], axis=0)
    attenuation: NDArray[np.float64] = (
        iradon(filtered[: len(sinogram)], theta=angles, filter_name=None, circle=size is None, output_size=size)
        / pixel_mm
    )
    hu = 1000 * (attenuation / WATER_PER_MM - 1)
    return hu.astype(np.float32)


def dose_noise(
    hu: NDArray[np.float32], *, pixel_mm: float, dose: float, scan: Scan, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Noise that an image would have more, had it been scanned with a part of its dose.

    The image is projected, the noise that the missing photons make is drawn for each ray, and only the noise is
    reconstructed, so that resolution and kernel of the image stay (Yu et al. 2012, Development and validation of a
    practical lower-dose-simulation tool; Zeng et al. 2015). With N photons behind the object at full dose and s of
    electronic noise, a line integral gains the variance (1 / d − 1) / N + (1 / d² − 1) · s² / N². It is drawn as
    Poisson and Gaussian noise of that variance about zero: the bias of the logarithm is what scanners correct for.

    Parameters
    ----------
    hu
        ``[H, W]`` HU.
    pixel_mm
        Pixel spacing.
    dose
        d, above 0 and at most 1: that of the result, relative to the image's own.
    scan
        How the image was scanned at its own dose.
    rng
        Source of randomness.

    Returns
    -------
    ndarray
        ``[H, W]`` float32 HU, to be added to `hu`.

    Raises
    ------
    ValueError
        If the dose is out of range.
    """
    if not 0 < dose <= 1:
        raise ValueError(f"dose: expected a value above 0 and at most 1, found {dose}")
    if dose == 1:
        return np.zeros_like(hu)
    sinogram = _project(hu, pixel_mm, scan.angles)
    # More photons than this make no noise; less than one, and the ray is lost at any dose.
    behind = np.maximum(scan.incident(sinogram, pixel_mm) * np.exp(-sinogram), 1.0)
    missing = behind * dose / (1 - dose)
    quantum = (rng.poisson(missing) - missing) / missing
    electronic = rng.normal(0.0, scan.electronic * np.sqrt(1 / dose**2 - 1) / behind)
    size = max(hu.shape)
    # The reconstruction of nothing is −1000 HU.
    noise = np.float32(1000) + reconstruct(
        quantum + electronic, angles=scan.angles, pixel_mm=pixel_mm, kernel=scan.kernel, size=size
    )
    top, left = ((size - side) // 2 for side in hu.shape)
    return noise[top : top + hu.shape[0], left : left + hu.shape[1]]


def _project(hu: NDArray[np.float32], pixel_mm: float, angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return line integrals ``[D, A]`` over all of the image, `pixel_mm` apart.

    At half the resolution and a third of the views: what they are for, the expected number of photons, is smooth.
    """
    size = max(hu.shape)
    margins = [((size - side) // 2, (size - side + 1) // 2) for side in hu.shape]
    attenuation = np.pad(np.maximum(0.0, (hu.astype(np.float64) + 1000) / 1000) * WATER_PER_MM, margins)
    half = resize(attenuation, (-(-size // 2), -(-size // 2)), order=1, anti_aliasing=True)
    few = radon(half, theta=angles[::3], circle=False) * 2 * pixel_mm
    detectors = int(np.ceil(np.sqrt(2) * size))
    sinogram: NDArray[np.float64] = resize(few, (detectors, len(angles)), order=1, anti_aliasing=False, mode="edge")
    return sinogram
