from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import discover, read_slice
from ctdenoise.noise.lowdose import KERNELS, Kernel, Scan, dose_noise
from ctdenoise.noise.matching import match_scan
from ctdenoise.noise.measure import measure_noise, uniform_regions
from ctdenoise.noise.phantom import Ellipsoid, render

BODY = [
    Ellipsoid(x=0, y=0, a=120, b=90, delta=1050),
    Ellipsoid(x=-50, y=0, a=25, b=40, delta=-800),
    Ellipsoid(x=60, y=20, a=12, b=12, delta=500),
]
IMAGE = render(BODY, 0, size=256, pixel_mm=1.1)


def noisy(scan: Scan, count: int = 2) -> list[np.ndarray]:
    return [IMAGE + noise for noise in own_noise(*[scan] * count)]


def own_noise(*scans: Scan) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [dose_noise(IMAGE, pixel_mm=1.1, dose=0.5, scan=scan, rng=rng) for scan in scans]


@pytest.mark.parametrize("cutoff", [0.3, 0.42])
def test_kernel_and_photons_of_a_simulated_scan_are_recovered(cutoff):
    scan = Scan(photons=4e5, kernel=Kernel("hann", cutoff), electronic=0, views=540)
    found = match_scan(noisy(scan, count=3), 1.1, electronic=0)
    frequency = np.array([0.2, 0.25, 0.3])
    expected, measured = scan.kernel.response(frequency, 1.1), found.kernel.response(frequency, 1.1)
    assert measured / measured[0] == pytest.approx(expected / expected[0], abs=0.25)
    assert found.photons == pytest.approx(4e5, rel=0.4)
    assert found.photons == float(f"{found.photons:.3g}")


def test_known_parameters_are_not_estimated():
    kernel = Kernel("cosine")
    assert match_scan([], 1.0, kernel=kernel, photons=1e5) == Scan(photons=1e5, kernel=kernel)
    images = noisy(Scan(photons=4e5, kernel=kernel, electronic=0, views=540))
    assert match_scan(images, 1.1, kernel=kernel).kernel == kernel
    assert match_scan(images, 1.1, photons=12345).photons == 12345


def test_photons_are_corrected_for_tube_current():
    kernel = KERNELS["hann"]
    currents = [0.5, 1.5]
    scans = [Scan(photons=4e5 * current, kernel=kernel, electronic=0, views=540) for current in currents]
    images = [IMAGE + noise for noise in own_noise(*scans)]
    assert match_scan(images, 1.1, kernel=kernel, electronic=0, currents=currents).photons == pytest.approx(
        4e5, rel=0.2
    )


def test_structure_in_some_regions_does_not_change_the_photons():
    kernel = KERNELS["hann"]
    images = noisy(Scan(photons=4e5, kernel=kernel, electronic=0, views=540), count=3)
    images[1][::4] += 60  # in a third of the regions
    assert match_scan(images, 1.1, kernel=kernel, electronic=0).photons == pytest.approx(4e5, rel=0.2)


def test_too_little_soft_tissue_is_an_input_error():
    with pytest.raises(InputError, match=r"at least 6 uniform regions .* found 0; give the scan parameters: --photons"):
        match_scan([np.full((64, 64), -900, np.float32)], 1.0)


@pytest.mark.slow
def test_simulated_dose_matches_real_dose(data: Path):
    """Averages of four neighbouring slices have four times the dose of one, in regions that do not change between."""
    files = discover(data / "ct" / "lidc-0314").series[0].slices
    hu = np.stack([read_slice(file.path).hu for file in files[8:72]])
    thick = hu.reshape(16, 4, *hu.shape[1:]).mean(1)[::4]
    pixel_mm = float(read_slice(files[0].path).dataset.PixelSpacing[0])
    scan = match_scan(list(thick), pixel_mm)
    rng = np.random.default_rng(0)
    simulated = [image + dose_noise(image, pixel_mm=pixel_mm, dose=0.25, scan=scan, rng=rng) for image in thick]
    regions = uniform_regions(list(thick))
    ours = measure_noise(simulated, regions, pixel_mm)
    theirs = measure_noise(list(hu[2::16]), regions, pixel_mm)
    assert ours.std == pytest.approx(theirs.std, rel=0.25)
    assert ours.mean_frequency == pytest.approx(theirs.mean_frequency, rel=0.15)
    assert ours.peak_frequency == pytest.approx(theirs.peak_frequency, rel=0.25)
