"""What neighbouring slices bring a denoiser: on series with simulated noise, and on small spheres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ctdenoise.evaluation.metrics import window_metrics
from ctdenoise.evaluation.tables import markdown
from ctdenoise.evaluation.windows import WINDOWS
from ctdenoise.inference import Denoiser
from ctdenoise.io.dicom import discover, read_slice
from ctdenoise.noise.along_normal import correlate, noise_correlation, representable
from ctdenoise.noise.lowdose import dose_noise
from ctdenoise.noise.matching import match_scan
from ctdenoise.noise.measure import evenly_spread
from ctdenoise.noise.phantom import sphere_in_slice
from ctdenoise.transforms.noise import RandCTNoise

#: Share of each denoised neighbour in naive mixing.
_MIXED = 0.1
#: Spheres: side of the image in pixels, pixel in mm, slices, radii in mm, HU above the background.
_SIDE, _PIXEL_MM, _SLICES, _RADII_MM, _CONTRAST_HU = 128, 0.7, 15, (2.0, 3.0, 4.0), 100.0
_NOISE_HU, _REALISATIONS = 25.0, 8


def context_comparison(
    methods: Mapping[str, Denoiser],
    folders: Sequence[str | Path],
    *,
    doses: Sequence[float],
    slices: int = 6,
    seed: int = 0,
) -> str:
    """Compare denoisers on contiguous slices with simulated noise, as a Markdown table of PSNR in soft tissue.

    The reference is the series as it is. The strength is 1 − dose, which leaves about the noise of the reference. The
    noise of the slices is simulated independently, and also with the correlation that the noise of the series itself
    has between neighbouring slices.

    Parameters
    ----------
    methods
        Denoisers by name. Each also appears as "mixed": 0.8 times the denoised slice plus 0.1 times each denoised
        neighbour.
    folders
        Each with a DICOM series.
    doses
        Fractions of the full dose.
    slices
        Number of slices that are measured, in the middle of the series.
    seed
        Seed of the noise.
    """
    rows = []
    for folder in folders:
        series = _read(Path(folder), slices)
        for dose in doses:
            noise = _independent_noise(series, dose, seed)
            for rho in (0.0, series.correlation):
                noisy = series.hu[1:-1] + correlate(noise, representable(rho)).astype(np.float32)
                rows += _rows(
                    f"{series.name}, {dose:.0%} dose, noise ρ {rho:.2f}", series.hu[1:-1], noisy, methods, dose
                )
    return markdown(rows)


class _Series(NamedTuple):
    name: str
    hu: NDArray[np.float32]
    pixel_mm: float
    correlation: float


def _read(folder: Path, slices: int) -> _Series:
    """Read two slices more than are denoised: their noise is needed for its correlation along the series."""
    files = discover(folder).series[0].slices
    first = max(0, (len(files) - slices - 4) // 2)
    images = [read_slice(file.path) for file in files[first : first + slices + 4]]
    pixel_mm = images[0].pixel_spacing_mm or 1.0
    distance = abs((files[first + 1].position or 0) - (files[first].position or 0))
    hu = np.stack([image.hu for image in images])
    name = f"{folder.name} ({distance:.3g} mm apart, {images[0].slice_thickness_mm:.3g} mm thick)"
    return _Series(name, hu, pixel_mm, noise_correlation(hu, pixel_mm))


def _independent_noise(series: _Series, dose: float, seed: int) -> NDArray[np.float32]:
    scan = match_scan([series.hu[i] for i in evenly_spread(len(series.hu), 4)], series.pixel_mm)
    rng = np.random.default_rng(seed)
    return np.stack([dose_noise(image, pixel_mm=series.pixel_mm, dose=dose, scan=scan, rng=rng) for image in series.hu])


def _rows(
    name: str, clean: NDArray[np.float32], noisy: NDArray[np.float32], methods: Mapping[str, Denoiser], dose: float
) -> list[dict[str, str]]:
    """Measure the slices that have neighbours on both sides."""
    results = {"none": noisy}
    for method, denoiser in methods.items():
        results[method] = denoiser(noisy, strength=1 - dose)
        results[f"{method}, mixed"] = _mixed(results[method])
        alone = [denoiser(image, strength=1 - dose) for image in noisy[1:-1]]
        results[f"{method}, single slices"] = np.stack([noisy[0], *alone, noisy[-1]])
    soft_tissue = WINDOWS["soft-tissue"]
    psnr = {key: window_metrics(clean[1:-1], one[1:-1], soft_tissue)["psnr"] for key, one in results.items()}
    return [{"series": name, **{key: f"{value:.2f} dB" for key, value in psnr.items()}}]


def _mixed(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    mixed = hu.copy()
    mixed[1:-1] += _MIXED * (hu[:-2] + hu[2:] - 2 * hu[1:-1])
    return mixed


def sphere_comparison(methods: Mapping[str, Denoiser], *, spacings_mm: Sequence[float], seed: int = 0) -> str:
    """Measure contrast and width along z that small spheres keep, at strength 1, as a Markdown table.

    Spheres of +100 HU in a background of 40 HU, averaged over the thickness of contiguous slices; noise of 25 HU with
    the spectrum of a reconstruction, independent in each slice. Contrast is the mean over the middle half of the sphere
    in the slice through its centre; width is the sum of this mean over the slices divided by that contrast. Both are
    relative to the slices without noise, and of the mean over realisations of the noise.

    Parameters
    ----------
    methods
        Denoisers by name.
    spacings_mm
        Thicknesses of the slices.
    seed
        Seed of the noise.
    """
    rows = []
    for spacing in spacings_mm:
        clean = _spheres(spacing)
        add = RandCTNoise((_NOISE_HU, _NOISE_HU)).set_random_state(seed)
        noisy = [np.asarray(add(clean), np.float32) for _ in range(_REALISATIONS)]
        for method, denoiser in methods.items():
            for name, process in ((method, _identity), (f"{method}, mixed", _mixed)):
                mean = np.mean([process(denoiser(image, strength=1.0)) for image in noisy], axis=0)
                cells = {"slices": f"{spacing:g} mm", "method": name}
                for index, radius in enumerate(_RADII_MM):
                    (before, width), (after, widened) = (_profile(image, index) for image in (clean, mean))
                    cells[f"contrast, {2 * radius:g} mm"] = f"{after / before:.1%}"
                    cells[f"width, {2 * radius:g} mm"] = f"{widened / width:.1%}"
                rows.append(cells)
    return markdown(rows)


def _identity(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    return hu


def _centre(index: int) -> tuple[float, float]:
    return _SIDE / 2, (index + 0.5) * _SIDE / len(_RADII_MM)


def _spheres(spacing_mm: float) -> NDArray[np.float32]:
    """Return ``[D, H, W]`` HU; the middle slice goes through the centres."""
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    hu = np.full((_SLICES, _SIDE, _SIDE), 40.0)
    for index, radius in enumerate(_RADII_MM):
        row, column = _centre(index)
        distance = np.hypot(rows - row, columns - column) * _PIXEL_MM
        for slice_index in range(_SLICES):
            low, high = ((slice_index - _SLICES // 2 + side) * spacing_mm for side in (-0.5, 0.5))
            hu[slice_index] += _CONTRAST_HU * sphere_in_slice(distance, radius, low, high) / spacing_mm
    return hu.astype(np.float32)


def _profile(hu: NDArray[np.floating], index: int) -> tuple[float, float]:
    """Return contrast in the middle slice, HU, and the width along z, slices."""
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    row, column = _centre(index)
    distance = np.hypot(rows - row, columns - column) * _PIXEL_MM
    core = distance <= _RADII_MM[index] / 2
    around = (distance > 2 * _RADII_MM[index] + 2) & (distance < 2 * _RADII_MM[index] + 5)
    contrast = [float(image[core].mean() - image[around].mean()) for image in hu]
    peak = contrast[_SLICES // 2]
    return peak, sum(contrast) / peak
