from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ctdenoise.evaluation.resolution import falling_frequency, skin_arcs, skin_ttf, ttf, ttf50
from ctdenoise.noise.phantom import Ellipsoid, render

DISC = render([Ellipsoid(x=3.3, y=-2.1, a=15, b=15, delta=100)], 0, size=96, pixel_mm=0.5, oversample=16)
CENTRE = (48 + 2.1 / 0.5, 48 + 3.3 / 0.5)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.5])
@pytest.mark.parametrize("noise", [0, 10])
def test_a_blurred_disc_has_the_ttf_of_its_blur(sigma, noise):
    """A Gaussian of σ has the TTF exp(−2π²σ²f²), and pixels their sinc."""
    rng = np.random.default_rng(0)
    images = [gaussian_filter(DISC, sigma) + rng.normal(0, noise, DISC.shape) for _ in range(30)]
    fine = np.linspace(0, 1, 10_001)
    falling = np.exp(-2 * (np.pi * sigma * 0.5 * fine) ** 2) * np.sinc(0.5 * fine)
    assert ttf50(images, CENTRE, 30, 0.5) == pytest.approx(fine[np.argmin(abs(falling - 0.5))], rel=0.03)
    frequency, transfer = ttf(images, CENTRE, 30, 0.5)
    assert transfer[0] == pytest.approx(1)
    low = frequency < 0.5
    expected = np.exp(-2 * (np.pi * sigma * 0.5 * frequency[low]) ** 2)
    assert transfer[low] == pytest.approx(expected, abs=0.06)


def test_contrast_and_sign_do_not_matter():
    blurred = gaussian_filter(DISC, 1.5)
    assert ttf50([-7 * blurred + 40], CENTRE, 30, 0.5) == pytest.approx(ttf50([blurred], CENTRE, 30, 0.5))


BODY = render([Ellipsoid(x=2.3, y=-1.1, a=120, b=90, delta=1000)], 0, size=384, pixel_mm=0.8, oversample=8)


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_the_skin_of_a_blurred_body_has_the_ttf_of_its_blur(sigma):
    rng = np.random.default_rng(0)
    blurred = gaussian_filter(BODY, sigma)
    images = [blurred + rng.normal(0, 10, BODY.shape) for _ in range(4)]
    arcs = [skin_arcs(image) for image in images]
    assert all(len(found) >= 10 for found in arcs)
    fine = np.linspace(0, 0.6, 10_001)
    falling = np.exp(-2 * (np.pi * sigma * 0.8 * fine) ** 2) * np.sinc(0.8 * fine)
    assert falling_frequency(*skin_ttf(images, arcs, 0.8)) == pytest.approx(
        fine[np.argmin(abs(falling - 0.5))], rel=0.03
    )


def test_where_something_lies_on_the_skin_nothing_is_measured():
    touched = BODY.copy()
    touched[:, 192:] = np.maximum(touched[:, 192:], -600)  # clothes, all over one side
    arcs = skin_arcs(touched)
    assert 0 < len(arcs) < len(skin_arcs(BODY))
    assert skin_arcs(np.full((64, 64), -1000.0)) == []
