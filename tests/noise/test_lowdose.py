from __future__ import annotations

import numpy as np
import pytest
from skimage.transform import iradon

from ctdenoise.noise.lowdose import KERNELS, WATER_PER_MM, Kernel, Scan, add_noise, dose_noise, reconstruct
from ctdenoise.noise.matching import match_scan
from ctdenoise.noise.phantom import Ellipsoid, project, render

ANGLES = np.linspace(0, 180, 180, endpoint=False)
WATER = [Ellipsoid(x=0, y=0, a=80, b=80, delta=1000)]
#: A cylinder of water, 160 mm across, and its middle.
CYLINDER = render(WATER, 0, size=160, pixel_mm=1.2)
MIDDLE = np.s_[50:110, 50:110]


def water_sinogram() -> np.ndarray:
    return project(WATER, 0, angles=ANGLES, detectors=128, pixel_mm=1.5) * WATER_PER_MM / 1000


def inserted(
    dose: float, *, count: int = 6, seed: int = 0, image: np.ndarray = CYLINDER, pixel_mm: float = 1.2, **scan
) -> np.ndarray:
    """Realisations of inserted noise, ``[count, H, W]``."""
    rng = np.random.default_rng(seed)
    told = Scan(**{"photons": 1e5, "electronic": 0, "kernel": KERNELS["ramp"], "views": 180, **scan})
    return np.stack([dose_noise(image, pixel_mm=pixel_mm, dose=dose, scan=told, rng=rng) for _ in range(count)])


def spectrum(noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequency in cycles per pixel and radial power of ``[N, 60, 60]``, tapered so that little leaks to zero."""
    taper = np.outer(np.hanning(60), np.hanning(60))
    power = (np.abs(np.fft.fft2(noise * taper)) ** 2).mean(0)
    ring = np.round(60 * np.hypot(np.fft.fftfreq(60)[:, None], np.fft.fftfreq(60)[None])).astype(int)
    radial = np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())
    return np.arange(30) / 60, radial[:30]


@pytest.mark.parametrize("name", ["ramp", "shepp-logan", "cosine", "hamming", "hann"])
def test_kernels_are_those_of_scikit_image(name):
    ours = reconstruct(water_sinogram(), angles=ANGLES, pixel_mm=1.5, kernel=KERNELS[name])
    theirs = 1000 * (iradon(water_sinogram(), theta=ANGLES, filter_name=name) / 1.5 / WATER_PER_MM - 1)
    # scikit-image's windows are a sample longer than their period.
    assert ours[20:108, 20:108] == pytest.approx(theirs[20:108, 20:108], abs=0.5)
    assert ours[48:80, 48:80].mean() == pytest.approx(0, abs=3)


def test_a_kernel_passes_nothing_beyond_its_cutoff():
    kernel = Kernel("hann", 0.5)
    assert kernel.response([0, 0.25, 0.5, 0.6], pixel_mm=0.7) == pytest.approx([1, 0.5, 0, 0])
    assert KERNELS["ramp"].response([0.7, 0.72], pixel_mm=0.7).tolist() == [1, 0]


def test_variance_of_a_ray_is_one_over_its_photons():
    line = np.full(200_000, 3.0)
    noisy = add_noise(line, photons=1e5, electronic=20, rng=np.random.default_rng(0))
    counts = 1e5 * np.exp(-3)
    assert noisy.mean() == pytest.approx(3, abs=1e-3)
    assert noisy.var() == pytest.approx((counts + 20**2) / counts**2, rel=0.02)


def test_starved_rays_stay_finite():
    starved = add_noise(np.full(1000, 12.0), photons=1e4, electronic=10, rng=np.random.default_rng(0))
    assert np.isfinite(starved).all()
    assert starved.max() == pytest.approx(np.log(1e4))
    assert np.isfinite(inserted(0.01, photons=10, electronic=30)).all()


@pytest.mark.parametrize("dose", [0.5, 0.25, 0.1])
def test_variance_in_water_follows_one_over_dose_without_bias(dose):
    full_dose = inserted(0.5)[:, *MIDDLE].var()  # halving the dose adds the full-dose variance
    noise = inserted(dose, seed=1)
    assert noise[:, *MIDDLE].var() / full_dose == pytest.approx(1 / dose - 1, rel=0.1)
    # Over all of the body: HU stay what they were.
    assert abs(noise[:, CYLINDER > -500].mean()) < 0.5


def test_variance_is_the_theorys_for_one_over_n_in_each_ray():
    """Kak & Slaney 1988, eq. 5.69 and on: σ² = π²/(12·views·rays'²) per line integral's variance, for the ramp."""
    noise = inserted(0.5, modulation=0, bow_tie=0, count=12)[:, 70:90, 70:90]
    counts = 1e5 * np.exp(-160 * WATER_PER_MM)
    theory = (1000 / WATER_PER_MM) ** 2 * np.pi**2 / (12 * 180 * 1.2**2 * counts)
    # Back-projection interpolates between rays, which takes from a third to half of the ramp's variance away.
    assert 0.45 < noise.var() / theory < 0.7


def test_electronic_noise_grows_faster_than_quantum_noise():
    quantum = inserted(0.25)[:, *MIDDLE].var()
    both = {dose: inserted(dose, electronic=100)[:, *MIDDLE].var() for dose in (0.5, 0.25)}
    assert both[0.25] > 1.3 * quantum
    # 1/d − 1 grows threefold from half to a quarter, 1/d² − 1 fivefold.
    assert 3.2 < both[0.25] / both[0.5] < 5


def test_power_spectrum_vanishes_at_zero_and_has_the_kernels_shape():
    spectra = {}
    for name, kernel in (("ramp", KERNELS["ramp"]), ("cosine", KERNELS["cosine"]), ("cut", Kernel("hann", 0.2))):
        frequency, spectra[name] = spectrum(inserted(0.5, kernel=kernel, count=10)[:, *MIDDLE])
        assert spectra[name][0] < spectra[name][2] < spectra[name][4]
    # What is left at zero leaks from the next frequencies; the taper is as wide as they are.
    assert spectra["ramp"][0] < 0.15 * spectra["ramp"].max()
    # Sinogram and interpolation are the same, so the ratio of two spectra is that of their squared apodisations.
    band = slice(3, 25)
    for name, kernel in (("cosine", KERNELS["cosine"]), ("cut", Kernel("hann", 0.2))):
        expected = kernel.response(frequency / 1.2, 1.2) ** 2
        assert spectra[name][band] / spectra["ramp"][band] == pytest.approx(expected[band], abs=0.08)
    # The ramp itself: power rises with frequency, in proportion at low ones.
    assert spectra["ramp"][8] / spectra["ramp"][4] == pytest.approx(2, rel=0.25)


def test_streaks_lie_along_the_long_axis():
    body = render([Ellipsoid(x=0, y=0, a=90, b=40, delta=1000)], 0, size=160, pixel_mm=1.2)
    noise = inserted(0.25, image=body, modulation=0, bow_tie=0, photons=2e4)[:, 65:95, 50:110]
    along = np.mean(noise[:, :, 1:] * noise[:, :, :-1])
    across = np.mean(noise[:, 1:] * noise[:, :-1])
    assert along > across + 0.1 * noise.var()


def test_the_bow_tie_and_modulated_current_even_the_noise_out():
    body = render([Ellipsoid(x=0, y=0, a=90, b=40, delta=1000)], 0, size=160, pixel_mm=1.2)

    def unevenness(**scan: float) -> float:
        std = inserted(0.25, image=body, photons=2e4, count=12, **scan).std(0)
        return float(std[72:88, 72:88].mean() / std[72:88, 140:150].mean())

    assert unevenness(modulation=0, bow_tie=1) < unevenness(modulation=0, bow_tie=0)
    along, across = (
        inserted(0.25, image=body, modulation=m, bow_tie=0, photons=2e4)[:, 65:95, 50:110] for m in (0.5, 0)
    )
    assert along.var() < across.var()  # the same photons in all, better spent


def test_seeded_and_repeatable():
    assert np.array_equal(inserted(0.25, seed=1), inserted(0.25, seed=1))
    assert not np.array_equal(inserted(0.25, seed=1), inserted(0.25, seed=2))


def test_full_dose_adds_nothing_and_others_are_refused():
    assert not inserted(1.0).any()
    for dose in (0, -1, 1.1):
        with pytest.raises(ValueError, match="dose"):
            inserted(dose)
    with pytest.raises(ValueError, match="photons"):
        Scan(photons=0)


@pytest.mark.parametrize("shape", [(100, 160), (131, 120)])
def test_any_shape_is_covered_to_its_corners(shape):
    noise = inserted(0.25, image=CYLINDER[: shape[0], : shape[1]], count=1)[0]
    assert noise.shape == shape
    for corner in (np.s_[:8, :8], np.s_[:8, -8:], np.s_[-8:, :8], np.s_[-8:, -8:]):
        assert noise[corner].std() > 0


@pytest.mark.slow
def test_noise_is_like_that_of_someone_elses_filtered_back_projection(data):
    """Uniform water, scanned and reconstructed with a sharp kernel elsewhere."""
    files = sorted((data / "ct/water-phantom-raw/uniform_water_phan/fbp_sharp").glob("*.raw"))[:12]
    theirs = np.stack([np.fromfile(file, "<i2").reshape(256, 256) for file in files]).astype(np.float32)
    water = theirs.mean(0)
    scan = match_scan(list(theirs), 1.0)
    rng = np.random.default_rng(0)
    ours = np.stack([dose_noise(water, pixel_mm=1.0, dose=0.5, scan=scan, rng=rng) for _ in theirs])
    middle = np.s_[:, 98:158, 98:158]
    noise = (theirs - water) / np.sqrt(1 - 1 / len(theirs))
    assert ours[middle].std() == pytest.approx(noise[middle].std(), rel=0.1)
    (frequency, expected), (_, found) = spectrum(noise[middle]), spectrum(ours[middle])
    mean = [(frequency**2 * power).sum() / (frequency * power).sum() for power in (expected, found)]
    assert mean[1] == pytest.approx(mean[0], rel=0.1)
    assert np.corrcoef(expected, found)[0, 1] > 0.9
