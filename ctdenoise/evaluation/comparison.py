"""Comparison of CT denoisers on images with simulated low-dose noise, as model cards show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ctdenoise.evaluation.filters import Denoise, filter_candidates
from ctdenoise.evaluation.metrics import window_metrics
from ctdenoise.evaluation.resolution import ttf50
from ctdenoise.evaluation.tables import markdown
from ctdenoise.evaluation.windows import DEFAULT_WINDOWS, WINDOWS
from ctdenoise.io.dicom import read_slice
from ctdenoise.noise.lowdose import KERNELS, Scan, dose_noise
from ctdenoise.noise.matching import match_scan
from ctdenoise.noise.measure import REGION_SIZE, measure_noise, uniform_regions
from ctdenoise.noise.phantom import Ellipsoid, render, thorax

Images = list[NDArray[np.float32]]

#: Discs of ±100 HU in water at which resolution is measured: x, y and radius in mm, and HU.
_DISCS = [(-45.0, 0.0, 15.0, 100.0), (45.0, 0.0, 15.0, -100.0)]
_DISC_SIZE, _DISC_REALISATIONS = 320, 12
_PHANTOM_SPACING_MM = 0.7
_PHANTOM_SCAN = Scan(photons=1e6, kernel=KERNELS["smooth"])


@dataclass(frozen=True)
class Scene:
    """Images without added noise, and the scan that the noise is simulated for.

    Attributes
    ----------
    name
        Name in the table.
    images
        ``[H, W]`` HU each.
    pixel_spacing_mm
        Pixel spacing.
    scan
        Photons and kernel at full dose.
    """

    name: str
    images: Images
    pixel_spacing_mm: float
    scan: Scan

    def at_dose(self, dose: float, seed: int) -> Images:
        """Return the images with the noise that a fraction of the dose adds."""
        rng = np.random.default_rng(seed)
        return [
            hu + dose_noise(hu, pixel_mm=self.pixel_spacing_mm, dose=dose, scan=self.scan, rng=rng)
            for hu in self.images
        ]


@dataclass(frozen=True)
class Result:
    """The images that a method made of noisy ones."""

    method: str
    images: Images
    denoise: Denoise


def ct_comparison(
    denoise: Denoise,
    slabs: Sequence[Sequence[str]],
    *,
    doses: Sequence[float],
    others: Mapping[str, Denoise] | None = None,
    seed: int = 0,
) -> str:
    """Compare denoisers at simulated lower doses, as a Markdown table.

    The images are averages of real slices, with whatever noise they have, and a thorax phantom without noise. Gaussian
    blur, total variation, non-local means and, if installed, BM3D use the parameter that gives the best PSNR in the
    soft-tissue window on these very images. TTF50 is measured at discs of ±100 HU in water, blurred by one pixel, in
    the average of twelve noise realisations.

    Parameters
    ----------
    denoise
        Maps ``[H, W]`` HU to the same.
    slabs
        Groups of paths of DICOM slices of one series; the average of each group is a reference image.
    doses
        Fractions of the full dose.
    others
        More denoisers, by name.
    seed
        Seed of the noise.
    """
    methods = {"ctdenoise": denoise, **(others or {})}
    scenes, discs = (_patient_scene(slabs), _phantom_scene()), _disc_scene()
    rows: list[dict[str, str]] = []
    for dose in doses:
        noisy_discs = discs.at_dose(dose, seed)
        for scene in scenes:
            noisy = scene.at_dose(dose, seed)
            for result in method_results(scene.images, noisy, methods):
                row = {"image": f"{scene.name}, {dose:.0%} dose", "method": result.method}
                row |= _fidelity(scene, result.images) | _noise(scene, noisy, result.images)
                if scene.name == "phantom":
                    after = _disc_resolution([result.denoise(hu) for hu in noisy_discs])
                    row["TTF50 retained"] = f"{after / _disc_resolution(noisy_discs):.0%}"
                rows.append(row)
    return markdown(rows)


def _patient_scene(slabs: Sequence[Sequence[str]]) -> Scene:
    slices = [[read_slice(Path(path)) for path in slab] for slab in slabs]
    images = [np.mean([one.hu for one in slab], axis=0) for slab in slices]
    pixel_spacing_mm = slices[0][0].pixel_spacing_mm or _PHANTOM_SPACING_MM
    return Scene("validation patient", images, pixel_spacing_mm, match_scan(images, pixel_spacing_mm))


def _phantom_scene() -> Scene:
    images = [render(thorax(), z, size=512, pixel_mm=_PHANTOM_SPACING_MM) for z in (-10.0, 10.0)]
    return Scene("phantom", images, _PHANTOM_SPACING_MM, _PHANTOM_SCAN)


def _disc_scene() -> Scene:
    body = [
        Ellipsoid(x=0, y=0, a=100, b=70, delta=1000),
        *(Ellipsoid(x=x, y=y, a=radius, b=radius, delta=hu) for x, y, radius, hu in _DISCS),
    ]
    # Blurred as by a soft-tissue kernel: an edge sharper than the pixels has no measurable TTF.
    image = gaussian_filter(render(body, 0, size=_DISC_SIZE, pixel_mm=_PHANTOM_SPACING_MM), 1.0)
    return Scene("discs", [image] * _DISC_REALISATIONS, _PHANTOM_SPACING_MM, _PHANTOM_SCAN)


def method_results(reference: Images, noisy: Images, methods: Mapping[str, Denoise]) -> list[Result]:
    """Return the noisy images, the results of the filters with their best parameters, and those of the methods.

    Parameters
    ----------
    reference, noisy
        ``[H, W]`` HU each. The best parameter gives the best PSNR in the soft-tissue window on these very images.
    methods
        Denoisers by name.
    """
    results = [Result("none", noisy, lambda image: image)]
    noise = float(np.mean([np.std(b - a) for a, b in zip(reference, noisy, strict=True)]))
    for name, candidates in filter_candidates(noise).items():
        tried = [Result(name, [candidate(image) for image in noisy], candidate) for candidate in candidates]
        psnr = [window_metrics(reference, one.images, WINDOWS["soft-tissue"])["psnr"] for one in tried]
        results.append(tried[int(np.argmax(psnr))])
    results += [Result(name, [method(image) for image in noisy], method) for name, method in methods.items()]
    return results


def _fidelity(scene: Scene, result: Images) -> dict[str, str]:
    cells = {}
    for window in map(WINDOWS.__getitem__, DEFAULT_WINDOWS):
        metrics = window_metrics(scene.images, result, window)
        cells[f"PSNR, {window.name}"] = f"{metrics['psnr']:.2f} dB"
        cells[f"SSIM, {window.name}"] = f"{metrics['ssim']:.4f}"
        if window.name == "full":
            cells["RMSE, full"] = f"{metrics['rmse']:.1f} HU"
    return cells


def _noise(scene: Scene, noisy: Images, result: Images) -> dict[str, str]:
    """Return HU bias and noise reduction in uniform regions."""
    regions = uniform_regions(scene.images)
    difference = [b - a for a, b in zip(scene.images, result, strict=True)]
    bias = np.mean([difference[i][r : r + REGION_SIZE, c : c + REGION_SIZE].mean() for i, r, c in regions])
    before, after = (measure_noise(images, regions, scene.pixel_spacing_mm).std for images in (noisy, result))
    return {"HU bias": f"{bias:+.2f} HU", "noise removed": f"{1 - after / before:.0%}"}


def _disc_resolution(images: Images) -> float:
    """Return the mean TTF50 at the discs, cycles per mm."""
    middle = _DISC_SIZE // 2
    spacing = _PHANTOM_SPACING_MM
    discs = [((middle - y / spacing, middle + x / spacing), radius / spacing) for x, y, radius, _ in _DISCS]
    return float(np.mean([ttf50(images, centre, radius, spacing) for centre, radius in discs]))
