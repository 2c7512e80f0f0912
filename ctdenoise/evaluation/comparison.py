"""A denoiser beside others, on images to which noise is added: what model cards show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

from ctdenoise.evaluation.metrics import WINDOWS, window_metrics
from ctdenoise.evaluation.resolution import ttf50
from ctdenoise.io.dicom import read_slice
from ctdenoise.io.images import read_image
from ctdenoise.noise.lowdose import KERNELS, Scan, dose_noise
from ctdenoise.noise.measure import SIDE, Region, match_scan, measure_noise, uniform_regions
from ctdenoise.noise.phantom import Ellipsoid, render, thorax
from ctdenoise.noise.synthetic import NOISES

Images = list[NDArray[np.float32]]
Denoise = Callable[[NDArray[np.float32]], NDArray[np.float32]]

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
            for method, result, chosen in _results(case, methods, _soft_tissue_psnr):
                row = {"image": case.name, "method": method, **_ct_metrics(case, result, regions, mm)}
                if name == "phantom":
                    kept = _disc_resolution([chosen(hu) for hu in rods]) / resolution
                    row["TTF50 kept"] = f"{kept:.0%}"
                rows.append(row)
    return _table(rows)


def photograph_comparison(
    denoise: Denoise,
    photographs: Sequence[str],
    *,
    noises: Sequence[tuple[str, float]],
    others: Mapping[str, Denoise] | None = None,
    seed: int = 0,
) -> str:
    """Measure what is left of noise in photographs, as a Markdown table; as :func:`ct_comparison`.

    Parameters
    ----------
    denoise
        ``[H, W, 3]`` in [0, 1] to the same.
    photographs
        Clean images, by path.
    noises
        Names in :data:`~ctdenoise.noise.synthetic.NOISES`, with their levels.
    others
        More denoisers, by name.
    seed
        Of the noise; the same for each image, as the paper has it.
    """
    clean = [read_image(Path(path)).values for path in photographs]
    rows = []
    for kind, level in noises:
        noisy = [NOISES[kind](image, level, np.random.default_rng(seed)) for image in clean]
        case = Case(f"{kind} {level:g}", clean, noisy)
        for method, result, _ in _results(case, {"ctdenoise": denoise, **(others or {})}, _photograph_psnr):
            ssim = [
                structural_similarity(a, np.clip(b, 0, 1), data_range=1, channel_axis=2, gaussian_weights=True)
                for a, b in zip(clean, result, strict=True)
            ]
            psnr = f"{_photograph_psnr(clean, result):.2f} dB"
            rows.append({"noise": case.name, "method": method, "PSNR": psnr, "SSIM": f"{np.mean(ssim):.4f}"})
    return _table(rows)


def _results(
    case: Case, methods: Mapping[str, Denoise], score: Callable[[Images, Images], float]
) -> list[tuple[str, Images, Denoise]]:
    """Name, results and method of each; of the tuned ones, with the best parameter."""
    results: list[tuple[str, Images, Denoise]] = [("none", case.noisy, lambda image: image)]
    for name, family in _tuned(case).items():
        tried = [(name, [candidate(image) for image in case.noisy], candidate) for candidate in family]
        results.append(max(tried, key=lambda one: score(case.reference, one[1])))
    for name, method in methods.items():
        results.append((name, [method(image) for image in case.noisy], method))
    return results


def _tuned(case: Case) -> dict[str, list[Denoise]]:
    noise = float(np.mean([np.std(b - a) for a, b in zip(case.reference, case.noisy, strict=True)]))
    families: dict[str, list[Denoise]] = {
        "total variation": [partial(_total_variation, weight=k * noise) for k in (0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2)],
        "non-local means": [partial(_non_local_means, h=k * noise, sigma=noise) for k in (0.3, 0.5, 0.8, 1.2)],
    }
    if find_spec("bm3d"):
        families["BM3D"] = [partial(_bm3d, sigma=k * noise) for k in (0.7, 1.0, 1.5)]
    return families


def _total_variation(image: NDArray[np.float32], *, weight: float) -> NDArray[np.float32]:
    axis = 2 if image.ndim == 3 else None
    smooth: NDArray[np.float32] = denoise_tv_chambolle(image, weight=weight, channel_axis=axis).astype(np.float32)
    return smooth


def _non_local_means(image: NDArray[np.float32], *, h: float, sigma: float) -> NDArray[np.float32]:
    axis = 2 if image.ndim == 3 else None
    smooth: NDArray[np.float32] = denoise_nl_means(
        image, patch_size=5, patch_distance=6, h=h, sigma=sigma, channel_axis=axis
    ).astype(np.float32)
    return smooth


def _bm3d(image: NDArray[np.float32], *, sigma: float) -> NDArray[np.float32]:
    from bm3d import bm3d, bm3d_rgb

    smooth: NDArray[np.float32] = np.asarray((bm3d_rgb if image.ndim == 3 else bm3d)(image, sigma), np.float32)
    return smooth


def _soft_tissue_psnr(reference: Images, result: Images) -> float:
    return window_metrics(reference, result, WINDOWS["soft-tissue"])["psnr"]


def _photograph_psnr(reference: Images, result: Images) -> float:
    pairs = zip(reference, result, strict=True)
    return float(np.mean([peak_signal_noise_ratio(a, np.clip(b, 0, 1), data_range=1) for a, b in pairs]))


def _ct_metrics(case: Case, result: Images, regions: Sequence[Region], pixel_mm: float) -> dict[str, str]:
    cells = {}
    for window in WINDOWS.values():
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


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = list(dict.fromkeys(key for row in rows for key in row))
    lines = [head, ["---"] * len(head), *([row.get(key, "") for key in head] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
