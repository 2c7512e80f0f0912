"""A denoiser beside others, on images to which noise is added: what model cards show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ctdenoise.evaluation.filters import Denoise, families
from ctdenoise.evaluation.metrics import USUAL_WINDOWS, WINDOWS, window_metrics
from ctdenoise.evaluation.resolution import ttf50
from ctdenoise.evaluation.tables import markdown
from ctdenoise.io.dicom import read_slice
from ctdenoise.noise.lowdose import KERNELS, Scan, dose_noise
from ctdenoise.noise.measure import SIDE, Region, match_scan, measure_noise, uniform_regions
from ctdenoise.noise.phantom import Ellipsoid, render, thorax

Images = list[NDArray[np.float32]]

#: Discs of 100 HU above and below water that resolution is measured at: x, y and radius in mm, and HU.
_DISCS = [(-45.0, 0.0, 15.0, 100.0), (45.0, 0.0, 15.0, -100.0)]
_PIXEL_MM = 0.7


@dataclass(frozen=True)
class Case:
    """Images with a kind of noise, and without."""

    name: str
    reference: Images
    noisy: Images


def ct_comparison(
    denoise: Denoise,
    slabs: Sequence[Sequence[str]],
    *,
    doses: Sequence[float],
    others: Mapping[str, Denoise] | None = None,
    seed: int = 0,
) -> str:
    """Measure what is left of the noise of a lower dose, as a Markdown table.

    On averages of real slices, with whatever noise they have, and on a thorax phantom whose truth is known. Total
    variation, non-local means and, where it is installed, BM3D have for each dose the parameter that suits it best, by
    PSNR in the soft-tissue window on the very images they are measured on. Resolution is measured at discs of ±100 HU
    in water, blurred by one pixel, in the average of twelve realisations.

    Parameters
    ----------
    denoise
        ``[H, W]`` HU to the same.
    slabs
        DICOM slices of one series, by path; the average of each group is a reference.
    doses
        To compare at.
    others
        More denoisers, by name.
    seed
        Of the noise.
    """
    slices = [[read_slice(Path(path)) for path in slab] for slab in slabs]
    real = [np.mean([one.hu for one in slab], axis=0) for slab in slices]
    pixel_mm = slices[0][0].pixel_mm or _PIXEL_MM
    scan = match_scan(real, pixel_mm)
    phantom = [render(thorax(), z, size=512, pixel_mm=_PIXEL_MM) for z in (-10.0, 10.0)]
    phantom_scan = Scan(photons=1e6, kernel=KERNELS["smooth"])
    body = [
        Ellipsoid(x=0, y=0, a=100, b=70, delta=1000),
        *(Ellipsoid(x=x, y=y, a=r, b=r, delta=d) for x, y, r, d in _DISCS),
    ]
    # As blurred as a soft-tissue kernel makes it; sharper than pixels, nothing could be told of.
    discs = [gaussian_filter(render(body, 0, size=320, pixel_mm=_PIXEL_MM), 1.0)] * 12

    def insert(images: Images, mm: float, scan: Scan, dose: float) -> Images:
        rng = np.random.default_rng(seed)
        return [hu + dose_noise(hu, pixel_mm=mm, dose=dose, scan=scan, rng=rng) for hu in images]

    rows: list[dict[str, str]] = []
    for dose in doses:
        rods = insert(discs, _PIXEL_MM, phantom_scan, dose)
        resolution = _disc_resolution(rods)
        for name, images, mm, how in (
            ("validation patient", real, pixel_mm, scan),
            ("phantom", phantom, _PIXEL_MM, phantom_scan),
        ):
            case = Case(f"{name}, {dose:.0%} dose", images, insert(images, mm, how, dose))
            methods = {"ctdenoise": denoise, **(others or {})}
            regions = uniform_regions(images)
            for method, result, chosen in _results(case, methods):
                row = {"image": case.name, "method": method, **_ct_metrics(case, result, regions, mm)}
                if name == "phantom":
                    kept = _disc_resolution([chosen(hu) for hu in rods]) / resolution
                    row["TTF50 kept"] = f"{kept:.0%}"
                rows.append(row)
    return markdown(rows)


def _results(case: Case, methods: Mapping[str, Denoise]) -> list[tuple[str, Images, Denoise]]:
    """Name, results and method of each; of the tuned ones, with the best parameter."""
    results: list[tuple[str, Images, Denoise]] = [("none", case.noisy, lambda image: image)]
    noise = float(np.mean([np.std(b - a) for a, b in zip(case.reference, case.noisy, strict=True)]))
    for name, family in families(noise).items():
        tried = [(name, [candidate(image) for image in case.noisy], candidate) for candidate in family]
        results.append(max(tried, key=lambda one: _soft_tissue_psnr(case.reference, one[1])))
    for name, method in methods.items():
        results.append((name, [method(image) for image in case.noisy], method))
    return results


def _soft_tissue_psnr(reference: Images, result: Images) -> float:
    return window_metrics(reference, result, WINDOWS["soft-tissue"])["psnr"]


def _ct_metrics(case: Case, result: Images, regions: Sequence[Region], pixel_mm: float) -> dict[str, str]:
    cells = {}
    for window in map(WINDOWS.__getitem__, USUAL_WINDOWS):
        metrics = window_metrics(case.reference, result, window)
        cells[f"PSNR, {window.name}"] = f"{metrics['psnr']:.2f} dB"
        cells[f"SSIM, {window.name}"] = f"{metrics['ssim']:.4f}"
        if window.name == "full":
            cells["RMSE, full"] = f"{metrics['rmse']:.1f} HU"
    difference = [b - a for a, b in zip(case.reference, result, strict=True)]
    before, after = (measure_noise(images, regions, pixel_mm).std for images in (case.noisy, result))
    bias = np.mean([difference[i][r : r + SIDE, c : c + SIDE].mean() for i, r, c in regions])
    cells["HU bias"] = f"{bias:+.2f} HU"
    cells["noise taken away"] = f"{1 - after / before:.0%}"
    return cells


def _disc_resolution(images: Images) -> float:
    middle = images[0].shape[0] // 2
    discs = [((middle - y / _PIXEL_MM, middle + x / _PIXEL_MM), r / _PIXEL_MM) for x, y, r, _ in _DISCS]
    return float(np.mean([ttf50(images, centre, radius, _PIXEL_MM) for centre, radius in discs]))
