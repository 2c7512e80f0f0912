from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ctdenoise.evaluation.resolution import ttf, ttf50
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
