"""Scans of phantoms for the gallery: the thorax, and a cylinder with discs for curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctdenoise.noise.lowdose import KERNELS, WATER_PER_MM, add_noise, reconstruct
from ctdenoise.noise.phantom import Ellipsoid, project, render

Image = NDArray[np.float32]

#: Side of an image of the thorax, mm, and photons for each ray at full dose, as in ``ctdenoise demo``.
FIELD_MM, FULL_DOSE_PHOTONS = 358.4, 1e6
#: Dose without any noise.
NO_NOISE = np.inf
KERNEL = "shepp-logan"
#: Small lesions in the heart: place (x, y), diameter, all in mm, and contrast, HU.
SMALL_LESIONS = ((-2.0, 27.0, 3.0, -20.0), (14.0, 24.0, 3.0, 20.0))
#: Discs of the cylinder: contrast in HU by the angle of their centre, degrees.
DISCS = {45.0: 300.0, 135.0: 100.0, 225.0: 30.0}
DISC_RADIUS_MM, DISC_DISTANCE_MM, CYLINDER_RADIUS_MM = 12.0, 65.0, 100.0


@dataclass(frozen=True)
class Scanner:
    """A simulated scanner.

    Attributes
    ----------
    size
        Rows and columns.
    pixel_mm
        Pixel spacing.
    views
        Projections over 180°.
    """

    size: int
    pixel_mm: float
    views: int = 480

    def truth(self, objects: list[Ellipsoid]) -> Image:
        """Return the image without noise or blur, ``[size, size]`` HU."""
        return render(objects, 0.0, size=self.size, pixel_mm=self.pixel_mm)

    def scan(
        self, objects: list[Ellipsoid], doses: Sequence[float], *, kernel: str = KERNEL, seed: int = 0
    ) -> list[Image]:
        """Return an image, ``[size, size]`` HU, for each dose; 1 is full dose, an equal seed gives equal noise."""
        angles = np.linspace(0.0, 180.0, self.views, endpoint=False)
        sinogram = project(objects, 0.0, angles=angles, detectors=self.size, pixel_mm=self.pixel_mm)
        sinogram *= WATER_PER_MM / 1000
        images = []
        for dose in doses:
            rays = sinogram
            if dose != NO_NOISE:
                rng = np.random.default_rng([seed, round(1e6 * dose)])
                rays = add_noise(sinogram, photons=FULL_DOSE_PHOTONS * dose, electronic=10.0, rng=rng)
            images.append(reconstruct(rays, angles=angles, pixel_mm=self.pixel_mm, kernel=KERNELS[kernel]))
        return images

    def pixel(self, x_mm: float, y_mm: float) -> tuple[float, float]:
        """Return row and column of a place in the phantom."""
        return self.size // 2 - y_mm / self.pixel_mm, self.size // 2 + x_mm / self.pixel_mm

    def box(self, x_mm: float, y_mm: float, side_mm: float) -> tuple[slice, slice]:
        """Return the rows and columns of a square with its centre at a place in the phantom."""
        row, column = self.pixel(x_mm, y_mm)
        half = side_mm / 2 / self.pixel_mm
        return slice(round(row - half), round(row + half)), slice(round(column - half), round(column + half))


def small_lesions() -> list[Ellipsoid]:
    """Return the small lesions."""
    return [Ellipsoid(x=x, y=y, a=d / 2, b=d / 2, delta=hu) for x, y, d, hu in SMALL_LESIONS]


def cylinder() -> list[Ellipsoid]:
    """Return a cylinder of soft tissue, 200 mm wide, with discs of several contrasts and a uniform middle."""
    discs = [
        Ellipsoid(
            x=DISC_DISTANCE_MM * np.cos(np.deg2rad(angle)),
            y=DISC_DISTANCE_MM * np.sin(np.deg2rad(angle)),
            a=DISC_RADIUS_MM,
            b=DISC_RADIUS_MM,
            delta=contrast,
        )
        for angle, contrast in DISCS.items()
    ]
    return [Ellipsoid(x=0, y=0, a=CYLINDER_RADIUS_MM, b=CYLINDER_RADIUS_MM, delta=1050.0), *discs]
