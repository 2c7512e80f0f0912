"""Quantum and electronic noise of CT: in a sinogram, reconstructed, and added to an image to simulate a lower dose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.transform import iradon, radon, resize

#: Linear attenuation of water at 70 keV, the effective energy of a 120 kV beam, per mm (NIST XCOM: 0.1929 cm²/g).
WATER_PER_MM = 0.01929
#: Diameter of the water cylinder that the bow-tie filter compensates for, mm.
BOW_TIE_MM = 240.0


@dataclass(frozen=True)
class Kernel:
    """A reconstruction kernel: the ramp |f| times an apodisation H(f / cut-off), zero beyond the cut-off.

    Parameters
    ----------
    window
        Shape of H: ``ramp`` (H = 1), ``shepp-logan``, ``cosine``, ``hamming`` or ``hann`` (Kak & Slaney 1988, §3.3;
        Riederer, Pelc & Chesler 1978), or ``measured`` (H is given by `curve`).
    cutoff_per_mm
        Cut-off frequency, cycles per mm; None is the Nyquist frequency of the image. H is 0 beyond either.
    curve
        For ``measured``: pairs of frequency, cycles per mm, and H; linearly interpolated.
    """

    window: Literal["ramp", "shepp-logan", "cosine", "hamming", "hann", "measured"]
    cutoff_per_mm: float | None = None
    curve: tuple[tuple[float, float], ...] = ()

    def response(self, frequency: ArrayLike, pixel_mm: float) -> NDArray[np.float64]:
        """Return H at `frequency`, cycles per mm, for a ray spacing of `pixel_mm`."""
        absolute: NDArray[np.float64] = np.abs(np.asarray(frequency, np.float64))
        if self.window == "measured":
            frequencies, values = np.transpose(self.curve)
            interpolated: NDArray[np.float64] = np.interp(absolute, frequencies, values)
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


#: Kernels by name. The noise of ``smooth`` is like that of a clinical soft-tissue kernel (peak frequency about 0.25
#: cycles per mm), the noise of ``sharp`` like that of a bone or lung kernel (about 0.5).
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
    """Scan parameters that determine the noise of an image.

    Parameters
    ----------
    photons
        Incident photons per ray in the middle of the beam, N0, averaged over the views. The ray spacing is the pixel
        spacing.
    electronic
        Standard deviation of the detector's electronic noise, in photons per ray.
    kernel
        Reconstruction kernel.
    modulation
        Angular tube current modulation: the current of a view is proportional to the attenuation of its central rays to
        this power. 0 is constant current; 0.5 gives the least noise for a dose (Gies et al. 1999).
    bow_tie
        Share of the attenuation of a water cylinder of 240 mm that the bow-tie filter compensates for: 0 to 1.
    views
        Number of projections over 180°.

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
        """Projection angles, ``[views]`` degrees."""
        return np.linspace(0.0, 180.0, self.views, endpoint=False)

    def incident(self, sinogram: NDArray[np.float64], pixel_mm: float) -> NDArray[np.float64]:
        """Return the incident photons of each ray, ``[D, A]``, for `sinogram`, ``[D, A]`` line integrals."""
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
    """Add quantum and electronic noise to a sinogram.

    Monochromatic Beer-Lambert law with Poisson-distributed counts and Gaussian electronic noise (Zeng et al. 2015, A
    simple low-dose X-ray CT simulation from high-dose scan).

    Parameters
    ----------
    sinogram
        Line integrals of the attenuation coefficient, dimensionless.
    photons
        Incident photons per ray, N0, which is proportional to dose.
    electronic
        Standard deviation of electronic noise, in photons.
    rng
        Random generator.

    Returns
    -------
    ndarray
        Noisy line integrals; counts below one photon are set to one.
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
        ``[D, A]`` line integrals of the attenuation coefficient, parallel rays `pixel_mm` apart.
    angles
        Projection angles, ``[A]`` degrees.
    pixel_mm
        Ray spacing, and pixel spacing of the image.
    kernel
        Reconstruction kernel.
    size
        Rows and columns N of the image; None takes D and sets pixels outside the inscribed circle to −1000.

    Returns
    -------
    ndarray
        ``[N, N]`` float32 HU.
    """
    # Zero padding keeps the circular convolution from wrapping round the ends of a projection.
    length = 1 << int(np.ceil(np.log2(2 * len(sinogram))))
    n = np.concatenate((np.arange(length // 2 + 1), np.arange(length // 2 - 1, 0, -1)))
    # The ramp is sampled in space (Kak & Slaney 1988, eq. 61), which keeps the mean; iradon expects twice the ramp.
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
    """Simulate the noise that a reduced dose adds to an image.

    The image is projected, the additional noise is drawn for each ray, and only this noise is reconstructed, so that
    the image keeps its resolution and kernel (Yu et al. 2012, Development and validation of a practical
    lower-dose-simulation tool; Zeng et al. 2015). With N detected photons at full dose and electronic noise of standard
    deviation s, reducing the dose to d adds the variance (1 / d − 1) / N + (1 / d² − 1) · s² / N² to a line integral.
    Poisson and Gaussian noise of that variance and of mean zero is drawn: scanners correct the bias of the logarithm.

    Parameters
    ----------
    hu
        ``[H, W]`` HU.
    pixel_mm
        Pixel spacing.
    dose
        d, above 0 and at most 1: dose of the result relative to that of the image.
    scan
        Scan parameters of the image at its own dose.
    rng
        Random generator.

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
    # Detected photons; at least one, as a ray with fewer carries no signal at any dose.
    detected = np.maximum(scan.incident(sinogram, pixel_mm) * np.exp(-sinogram), 1.0)
    # A Poisson count of this expectation has the relative variance (1 / d − 1) / N.
    expected = detected * dose / (1 - dose)
    quantum = (rng.poisson(expected) - expected) / expected
    electronic = rng.normal(0.0, scan.electronic * np.sqrt(1 / dose**2 - 1) / detected)
    size = max(hu.shape)
    # An empty sinogram is reconstructed to −1000 HU.
    noise = np.float32(1000) + reconstruct(
        quantum + electronic, angles=scan.angles, pixel_mm=pixel_mm, kernel=scan.kernel, size=size
    )
    top, left = ((size - side) // 2 for side in hu.shape)
    return noise[top : top + hu.shape[0], left : left + hu.shape[1]]


def _project(hu: NDArray[np.float32], pixel_mm: float, angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return line integrals ``[D, A]`` over the whole image, with a ray spacing of `pixel_mm`.

    They are computed at half the resolution and for a third of the views and interpolated: the expected number of
    photons, which they are used for, is smooth.
    """
    size = max(hu.shape)
    margins = [((size - side) // 2, (size - side + 1) // 2) for side in hu.shape]
    attenuation = np.pad(np.maximum(0.0, (hu.astype(np.float64) + 1000) / 1000) * WATER_PER_MM, margins)
    half = resize(attenuation, (-(-size // 2), -(-size // 2)), order=1, anti_aliasing=True)
    few = radon(half, theta=angles[::3], circle=False) * 2 * pixel_mm
    detectors = int(np.ceil(np.sqrt(2) * size))
    sinogram: NDArray[np.float64] = resize(few, (detectors, len(angles)), order=1, anti_aliasing=False, mode="edge")
    return sinogram
