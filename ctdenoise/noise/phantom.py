"""An analytic thorax phantom: ellipsoids of known HU, with exact images and projections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctdenoise.noise.lowdose import KERNELS, WATER_PER_MM, add_noise, reconstruct

#: Tissues of the phantom, HU.
TISSUES = {
    "air": -1000.0,
    "lung": -850.0,
    "fat": -100.0,
    "muscle": 50.0,
    "blood": 40.0,
    "heart": 45.0,
    "cortical bone": 700.0,
    "marrow": 150.0,
}


@dataclass(frozen=True, kw_only=True)
class Ellipsoid:
    """One homogeneous ellipsoid; overlapping ellipsoids add up.

    Attributes
    ----------
    x, y, z
        Centre in mm; x to the patient's left, y to the front, z to the head.
    a, b, c
        Semi-axes in mm along x, y, z before rotation; infinite c makes a cylinder.
    angle
        Rotation in the axial plane, radians, counter-clockwise.
    delta
        HU relative to the ellipsoid around it.
    """

    x: float
    y: float
    z: float = 0.0
    a: float
    b: float
    c: float = np.inf
    angle: float = 0.0
    delta: float

    def cut(self, z: float) -> float:
        """Return the scale of the semi-axes in the axial plane at `z`; 0 where the plane misses the ellipsoid."""
        return float(np.sqrt(max(0.0, 1 - ((z - self.z) / self.c) ** 2)))


def thorax() -> list[Ellipsoid]:
    """Return a thorax, about 330 × 220 mm, for axial planes at |z| ≤ 40 mm.

    Body with a fat layer, lungs with vessels and nodules, spine, ribs, and a heart with low-contrast lesions.
    """
    hu = TISSUES
    vessel = hu["blood"] - hu["lung"]
    objects = [
        Ellipsoid(x=0, y=0, a=165, b=110, delta=hu["fat"] - hu["air"]),
        Ellipsoid(x=0, y=0, a=153, b=98, delta=hu["muscle"] - hu["fat"]),
        # Vertebral body with marrow; spinal canal, whose fat and cord average to water.
        Ellipsoid(x=0, y=-52, a=19, b=15, delta=hu["cortical bone"] - hu["muscle"]),
        Ellipsoid(x=0, y=-52, a=16, b=12, delta=hu["marrow"] - hu["cortical bone"]),
        Ellipsoid(x=0, y=-74, a=9, b=6, delta=0.0 - hu["muscle"]),
        # Aorta, and the heart with lesions of −40, +30, −20 and +15 HU.
        Ellipsoid(x=24, y=-29, a=7, b=7, delta=hu["blood"] - hu["muscle"]),
        Ellipsoid(x=4, y=24, a=30, b=34, c=70, delta=hu["heart"] - hu["muscle"]),
        Ellipsoid(x=-8, y=38, a=6, b=6, c=60, delta=-40.0),
        Ellipsoid(x=14, y=36, a=6, b=6, c=60, delta=30.0),
        Ellipsoid(x=-8, y=16, a=5, b=5, c=60, delta=-20.0),
        Ellipsoid(x=14, y=12, a=5, b=5, c=60, delta=15.0),
    ]
    for x, a in ((-81, 48), (86, 44)):
        objects.append(Ellipsoid(x=x, y=4, a=a, b=55, c=200, delta=hu["lung"] - hu["muscle"]))
        objects.extend(_vessels(x, 4, 0.8 * a, 0.8 * 55, vessel))
    # Ribs lie between lungs and fat and are oblique to the axial plane, so that their cuts change from slice to slice.
    for turn in np.linspace(0.15, 2 * np.pi + 0.15, 14, endpoint=False):
        x, y = 147 * np.cos(turn), 92 * np.sin(turn)
        along = np.arctan2(92 * np.cos(turn), -147 * np.sin(turn))
        rib = {"x": x, "y": y, "z": 25 * np.sin(5 * turn), "angle": along}
        objects.append(
            Ellipsoid(**rib, a=12, b=4.5, c=50, delta=hu["cortical bone"] - hu["muscle"]),
        )
        objects.append(
            Ellipsoid(**rib, a=10, b=2.5, c=45, delta=hu["marrow"] - hu["cortical bone"]),
        )
    return objects


def _vessels(x: float, y: float, a: float, b: float, delta: float) -> list[Ellipsoid]:
    """Return nodules and vessels of 5 to 1 mm radius at random places without overlap; the same at each call."""
    rng = np.random.default_rng(int(x) % 97)
    placed: list[Ellipsoid] = []
    for radius, difference in [
        (6.0, 0.5 * delta),
        (4.0, delta),
        *((r, delta) for r in np.geomspace(5, 1, 40)),
    ]:
        for _ in range(200):
            r, turn = np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
            u, v = x + a * r * np.cos(turn), y + b * r * np.sin(turn)
            if all(np.hypot(u - p.x, v - p.y) > radius + p.a + 1 for p in placed):
                length = 60.0 + 20 * radius
                placed.append(
                    Ellipsoid(x=u, y=v, z=rng.uniform(-20, 20), a=radius, b=radius, c=length, delta=difference)
                )
                break
    return placed


def render(
    objects: list[Ellipsoid], z: float, *, size: int, pixel_mm: float, oversample: int = 4
) -> NDArray[np.float32]:
    """Render an axial plane.

    Parameters
    ----------
    objects
        Ellipsoids of the phantom.
    z
        Position of the plane, mm.
    size, pixel_mm
        Rows and columns, and pixel spacing; pixel ``(size // 2, size // 2)`` is the origin.
    oversample
        Sub-pixels along each axis that are averaged into a pixel.

    Returns
    -------
    ndarray
        ``[size, size]`` float32 HU; rows run to the back of the patient, columns to the patient's left.
    """
    fine = (np.arange(size * oversample) + 0.5) / oversample - 0.5 - size // 2
    u, v = fine[np.newaxis] * pixel_mm, -fine[:, np.newaxis] * pixel_mm
    image = np.full((fine.size, fine.size), TISSUES["air"], np.float32)
    for item in objects:
        scale = item.cut(z)
        if scale == 0:
            continue
        reach = max(item.a, item.b) * scale
        rows = np.flatnonzero(np.abs(v[:, 0] - item.y) <= reach)
        columns = np.flatnonzero(np.abs(u[0] - item.x) <= reach)
        if rows.size == 0 or columns.size == 0:
            continue
        window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        du, dv = u[:, window[1]] - item.x, v[window[0]] - item.y
        along = (du * np.cos(item.angle) + dv * np.sin(item.angle)) / (item.a * scale)
        across = (dv * np.cos(item.angle) - du * np.sin(item.angle)) / (item.b * scale)
        image[window][along**2 + across**2 <= 1] += item.delta
    averaged: NDArray[np.float64] = image.reshape(size, oversample, size, oversample).mean((1, 3), dtype=np.float64)
    return averaged.astype(np.float32)


def sphere_in_slice(
    distance_mm: NDArray[np.floating], radius_mm: float, low_mm: float, high_mm: float
) -> NDArray[np.floating]:
    """Return how many mm of a slice are inside a sphere.

    Parameters
    ----------
    distance_mm
        Of each pixel from the sphere's centre, in the plane.
    radius_mm
        Of the sphere.
    low_mm, high_mm
        Where the slice begins and ends along its normal, from the sphere's centre.
    """
    half = np.sqrt(np.maximum(0.0, radius_mm**2 - distance_mm**2))
    inside: NDArray[np.floating] = np.clip(np.minimum(half, high_mm) - np.maximum(-half, low_mm), 0, None)
    return inside


def project(
    objects: list[Ellipsoid], z: float, *, angles: NDArray[np.float64], detectors: int, pixel_mm: float
) -> NDArray[np.float64]:
    """Project an axial plane with the analytic projection of ellipses (Kak & Slaney 1988, section 3.1).

    Parameters
    ----------
    objects, z
        As in :func:`render`.
    angles
        Projection angles, ``[A]`` degrees.
    detectors, pixel_mm
        Number and spacing of the parallel rays; ray ``detectors // 2`` passes through the origin.

    Returns
    -------
    ndarray
        ``[detectors, A]`` line integrals of HU + 1000, HU · mm, averaged over the ray spacing.
    """
    theta = np.deg2rad(angles)[np.newaxis]
    sub_rays = 2
    fine = (np.arange(detectors * sub_rays) + 0.5) / sub_rays - 0.5 - detectors // 2
    t = fine[:, np.newaxis] * pixel_mm
    sinogram = np.zeros((fine.size, theta.size))
    for item in objects:
        a, b = item.a * item.cut(z), item.b * item.cut(z)
        if a == 0:
            continue
        squared = (a * np.cos(theta - item.angle)) ** 2 + (b * np.sin(theta - item.angle)) ** 2
        offset = t - (item.x * np.cos(theta) + item.y * np.sin(theta))
        sinogram += 2 * item.delta * a * b / squared * np.sqrt(np.maximum(0.0, squared - offset**2))
    averaged: NDArray[np.float64] = sinogram.reshape(detectors, sub_rays, -1).mean(1)
    return averaged


def scan_thorax(
    z: float, *, size: int, pixel_mm: float, photons: Sequence[float], kernel: str, views: int = 720
) -> NDArray[np.float32]:
    """Simulate scans of an axial plane of the thorax at several doses; equal arguments give equal noise.

    Parameters
    ----------
    z
        Position of the plane, mm.
    size, pixel_mm
        Rows and columns, and pixel spacing.
    photons
        Incident photons per ray, one number for each scan.
    kernel
        A name in :data:`~ctdenoise.noise.lowdose.KERNELS`.
    views
        Number of projections over 180°.

    Returns
    -------
    ndarray
        ``[1 + len(photons), size, size]`` float32 HU: the ground truth, then one reconstruction for each scan.
    """
    phantom = thorax()
    angles = np.linspace(0.0, 180.0, views, endpoint=False)
    sinogram = project(phantom, z, angles=angles, detectors=size, pixel_mm=pixel_mm) * WATER_PER_MM / 1000
    images = [render(phantom, z, size=size, pixel_mm=pixel_mm)]
    for count in photons:
        rng = np.random.default_rng([int(1000 * (z + 1000)), int(count)])
        noisy = add_noise(sinogram, photons=count, electronic=10.0, rng=rng)
        images.append(reconstruct(noisy, angles=angles, pixel_mm=pixel_mm, kernel=KERNELS[kernel]))
    return np.stack(images)
