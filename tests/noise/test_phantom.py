from __future__ import annotations

import numpy as np
import pytest

from ctdenoise.noise.lowdose import KERNELS, WATER_PER_MM, reconstruct
from ctdenoise.noise.phantom import Ellipsoid, project, render, thorax


def hu_at(image: np.ndarray, x: float, y: float, pixel_mm: float = 0.7) -> float:
    centre = image.shape[0] // 2
    return float(image[round(centre - y / pixel_mm), round(centre + x / pixel_mm)])


def test_tissues_have_their_hu():
    image = render(thorax(), 0, size=512, pixel_mm=0.7)
    for name, (x, y), hu in (
        ("air", (0, 170), -1000),
        ("fat", (0, 104), -100),
        ("muscle", (0, 75), 50),
        ("lung", (-81, 55), -850),
        ("marrow", (0, -52), 150),
        ("heart", (4, 24), 45),
        ("lesion of −40 HU", (-8, 38), 5),
        ("lesion of +30 HU", (14, 36), 75),
    ):
        assert hu_at(image, x, y) == pytest.approx(hu, abs=0.01), name
    assert image.min() == pytest.approx(-1000)
    assert image.max() == pytest.approx(700)


def test_slices_differ():
    phantom = thorax()
    a, b = (render(phantom, z, size=128, pixel_mm=2.8) for z in (0, 20))
    assert np.abs(a - b).max() > 300


def test_projection_of_a_disc_is_its_chord():
    disc = [Ellipsoid(x=10, y=0, a=40, b=40, delta=1000)]
    angles = np.array([0.0, 90.0])
    sinogram = project(disc, 0, angles=angles, detectors=129, pixel_mm=1.0)
    assert sinogram[64 + 10, 0] == pytest.approx(80_000, rel=1e-3)
    assert sinogram[64, 1] == pytest.approx(80_000, rel=1e-3)
    assert sinogram[64 + 10 + 24, 0] == pytest.approx(64_000, rel=1e-2)
    assert sinogram[64 + 10 + 41, 0] == 0


def test_reconstruction_finds_what_was_rendered_where_it_was_rendered():
    phantom = thorax()
    angles = np.linspace(0, 180, 360, endpoint=False)
    sinogram = project(phantom, 0, angles=angles, detectors=256, pixel_mm=1.4) * WATER_PER_MM / 1000
    image = reconstruct(sinogram, angles=angles, pixel_mm=1.4, kernel=KERNELS["ramp"])
    truth = render(phantom, 0, size=256, pixel_mm=1.4)
    for x, y in ((4, 24), (-8, 38), (0, 75), (0, 104), (-81, 55)):
        patch = np.s_[
            round(128 - y / 1.4) - 1 : round(128 - y / 1.4) + 2, round(128 + x / 1.4) - 1 : round(128 + x / 1.4) + 2
        ]
        assert image[patch].mean() == pytest.approx(truth[patch].mean(), abs=6)
