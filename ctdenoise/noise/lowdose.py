"""Quantum and electronic noise in a sinogram, and its reconstruction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.transform import iradon, radon

#: Linear attenuation of water at 70 keV, per mm (NIST XCOM: 0.1929 cm²/g).
WATER_PER_MM = 0.01929


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
    sinogram: NDArray[np.float64], *, angles: NDArray[np.float64], pixel_mm: float, kernel: str
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
        scikit-image's filter name: ``ramp``, ``shepp-logan``, ``cosine``, ``hamming`` or ``hann``.

    Returns
    -------
    ndarray
        ``[D, D]`` float32 HU; −1000 outside the inscribed circle.
    """
    attenuation: NDArray[np.float64] = iradon(sinogram, theta=angles, filter_name=kernel, circle=True) / pixel_mm
    hu = 1000 * (attenuation / WATER_PER_MM - 1)
    return hu.astype(np.float32)


def projection_noise(
    hu: NDArray[np.float32],
    *,
    pixel_mm: float,
    photons: float,
    electronic: float,
    kernel: str,
    rng: np.random.Generator,
    views: int = 540,
) -> NDArray[np.float32]:
    """Noise an image would have had, from counting photons behind the object that it shows.

    The image is projected, noise is drawn for each ray, and only the noise is reconstructed, so that resolution and
    kernel of the image stay (after Zeng et al. 2015).

    Parameters
    ----------
    hu
        ``[N, N]`` HU; what is outside the inscribed circle does not count.
    pixel_mm
        Pixel spacing.
    photons, electronic, rng
        As in :func:`add_noise`.
    kernel
        As in :func:`reconstruct`.
    views
        Number of projections over 180°.

    Returns
    -------
    ndarray
        ``[N, N]`` float32 HU, to be added to `hu`.
    """
    angles = np.linspace(0.0, 180.0, views, endpoint=False)
    attenuation = np.maximum(0.0, (hu.astype(np.float64) + 1000) / 1000) * WATER_PER_MM
    # skimage insists on nothing outside the circle.
    rows, columns = np.ogrid[: hu.shape[0], : hu.shape[1]]
    radius = hu.shape[0] // 2
    attenuation[(rows - radius) ** 2 + (columns - radius) ** 2 > radius**2] = 0
    sinogram = radon(attenuation, theta=angles, circle=True) * pixel_mm
    noise = add_noise(sinogram, photons=photons, electronic=electronic, rng=rng) - sinogram
    # The reconstruction of nothing is −1000 HU.
    return reconstruct(noise, angles=angles, pixel_mm=pixel_mm, kernel=kernel) + np.float32(1000)
