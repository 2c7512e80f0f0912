from __future__ import annotations

import numpy as np
import pytest
from microct_iq_toolbox.d_prime_calculator import get_d_prime_npw
from microct_iq_toolbox.nps_calculator import get_NPS
from scipy.ndimage import gaussian_filter

from ctdenoise.evaluation.detectability import detectability
from ctdenoise.evaluation.removed_noise import removed_noise
from ctdenoise.evaluation.resolution import ttf
from ctdenoise.evaluation.tissues import TissueMeans, body_mask, insert_contrast, tissue_masks
from ctdenoise.noise.measure import REGION_SIZE, measure_noise
from ctdenoise.noise.phantom import Ellipsoid, render, thorax

RNG = np.random.default_rng(0)
THORAX = render(thorax(), 0, size=256, pixel_mm=1.4)
REGIONS = [(0, REGION_SIZE * row, REGION_SIZE * column) for row in range(16) for column in range(16)]


def white(std: float = 20.0) -> np.ndarray:
    return np.random.default_rng(1).normal(0, std, (512, 512)).astype(np.float32)


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_the_integral_of_the_nps_is_the_variance(smooth):
    image = white(20)
    if smooth:
        image = gaussian_filter(image, smooth)
    noise = measure_noise([image], REGIONS, 0.7)
    assert noise.spectrum.sum() / (REGION_SIZE * 0.7) ** 2 == pytest.approx(noise.std**2, rel=1e-6)
    assert noise.spectrum.sum() / (REGION_SIZE * 0.7) ** 2 == pytest.approx(
        image.var(), rel=0.08 if smooth else 0.01
    )  # detrending takes low frequencies


def test_the_radial_nps_agrees_with_another_implementation():
    image = gaussian_filter(white(30), 0.8)
    noise = measure_noise([image], REGIONS, 0.7)
    bounds = np.array([[r, r + REGION_SIZE, c, c + REGION_SIZE] for _, r, c in REGIONS])
    # Theirs averages rings from one whole bin to the next.
    theirs = np.squeeze(get_NPS(image.astype(float), bounds, 0.7)[1])
    assert (noise.power[3:14] + noise.power[4:15]) / 2 == pytest.approx(theirs[3:14], rel=0.1)


@pytest.mark.parametrize("diameter", [3.0, 5.0, 10.0])
@pytest.mark.parametrize("pixel_mm", [0.5, 0.7, 0.9])
def test_a_disc_in_white_noise_is_detected_as_theory_says(diameter, pixel_mm):
    """The matched filter of a disc in white noise: contrast · √(area / pixel area) / σ."""
    noise = measure_noise([white(20)], REGIONS, pixel_mm)
    theory = 10 * np.sqrt(np.pi * diameter**2 / 4) / (20 * pixel_mm)
    assert detectability(noise, pixel_mm, task=(diameter, 10)) == pytest.approx(theory, rel=0.03)


def test_detectability_in_coloured_noise_agrees_with_another_implementation():
    noise = measure_noise([gaussian_filter(white(60), 1.2)], REGIONS, 0.7)
    frequency = np.linspace(0, 0.7, 100)
    transfer = np.exp(-8 * frequency**2)
    theirs = get_d_prime_npw(
        frequency, transfer, noise.frequency[2:], noise.power[2:], disc_diameters_mm=[8.0], contrast_hu=10.0
    )
    ours = detectability(noise, 0.7, ttf=(frequency, transfer), task=(8.0, 10.0))
    # Their integrals over rings are without 2π.
    assert ours == pytest.approx(np.sqrt(2 * np.pi) * float(theirs["d_prime"][0]), rel=0.06)


def test_more_blur_and_more_noise_are_less_detectability():
    sharp = measure_noise([white(20)], REGIONS, 0.7)
    frequency = np.linspace(0, 0.7, 50)
    blurred = detectability(sharp, 0.7, ttf=(frequency, np.exp(-20 * frequency**2)))
    assert blurred < detectability(sharp, 0.7)
    assert detectability(measure_noise([white(40)], REGIONS, 0.7), 0.7) == pytest.approx(
        detectability(sharp, 0.7) / 2, rel=0.001
    )


def test_tissues_are_segmented_by_hu_and_their_bias_is_found():
    masks = tissue_masks(THORAX)
    means = TissueMeans()
    shifted = THORAX - 7 * masks["lung"] + 4 * masks["soft tissue"]
    means.add(masks, THORAX, shifted)
    table = means.statistics()
    assert {"lung", "soft tissue", "fat"} <= set(table)
    assert table["lung"].bias_hu == pytest.approx(-7)
    assert table["soft tissue"].bias_hu == pytest.approx(4)
    assert table["soft tissue"].mean_hu == pytest.approx(THORAX[masks["soft tissue"]].mean() + 4, abs=0.01)
    assert not masks["lung"][0].any()


def test_the_body_is_what_the_skin_encloses():
    body = body_mask(THORAX)
    assert body[128, 128]
    assert body[THORAX < -700][:1].size
    assert not body[:4].any()
    assert not body_mask(np.full((32, 32), -1000.0)).any()


def test_an_insert_has_its_contrast_and_cnr():
    disc = render(
        [Ellipsoid(x=0, y=0, a=60, b=60, delta=1000), Ellipsoid(x=0, y=0, a=8, b=8, delta=50)],
        0,
        size=256,
        pixel_mm=0.6,
    )
    images = [disc + RNG.normal(0, 10, disc.shape) for _ in range(8)]
    found = insert_contrast(images, (127.5, 127.5), 8 / 0.6)
    assert found.contrast_hu == pytest.approx(50, abs=1)
    assert found.cnr == pytest.approx(5, rel=0.05)
    assert ttf(images, (127.5, 127.5), 8 / 0.6, 0.6)[1][0] == 1


def test_removed_noise_shows_no_anatomy_and_removed_anatomy_does():
    noise = RNG.normal(0, 20, THORAX.shape)
    clean = removed_noise([THORAX + noise], [THORAX], [THORAX])
    assert clean.std == pytest.approx(20, rel=0.05)
    assert abs(clean.structure) < 0.05
    assert abs(clean.edges) < 0.05
    blurred = removed_noise([THORAX + noise], [gaussian_filter(THORAX, 2.5)], [THORAX])
    assert blurred.structure > 0.3
    assert blurred.edges > 0.5
    blend = removed_noise([THORAX + noise], [THORAX + 0.4 * noise], [THORAX])
    assert abs(blend.structure) < 0.05
