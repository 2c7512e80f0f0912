"""The sections of the gallery: each draws its picture and returns its caption, with the figures it measured."""

from __future__ import annotations

import numpy as np
from bench import BONE, DOSES, LUNG, SOFT, TISSUES, Bench, blend, percent
from drawings import REMOVED, draw_curves, draw_panels
from scans import DISC_DISTANCE_MM, DISC_RADIUS_MM, DISCS, FIELD_MM, KERNEL, NO_NOISE, Image, Scanner, cylinder

from ctdenoise.evaluation.resolution import Curve, ttf
from ctdenoise.noise.measure import REGION_SIZE, Noise, measure_noise

#: Scans of the cylinder that curves are averaged over.
REPEATS = 4
#: Scanner of the cylinder, with the pixels of the thorax.
CYLINDER = Scanner(200, FIELD_MM / 320)


def windows(bench: Bench) -> str:
    """Before, after, truth and removed noise in three windows."""
    low, (strength, clean), cut = bench.scans[0.25], bench.automatic(0.25), bench.body
    rows = {}
    for window in (SOFT, LUNG, BONE):
        images = (("25 % dose", low), ("denoised", clean), ("truth", bench.truth))
        panels = [(title, image[cut], window) for title, image in images]
        name = f"{window.name} [{window.low:g}, {window.high:g}] HU"
        rows[name] = [*panels, ("removed, ±60 HU", (low - clean)[cut], REMOVED)]
    draw_panels(bench.folder / "windows.png", rows)
    errors = [f"{name} {bench.error(low, hu):.1f} → {bench.error(clean, hu):.1f} HU" for name, hu in TISSUES.items()]
    return f"""
A quarter of the dose, automatic strength ({strength:.2f}). Root-mean-square error against the truth, away from edges, before
→ after: {", ".join(errors)}. The last column is what was removed: it should look like noise, without anatomy. Lines along
organs in it would be structure that was taken away with the noise."""


def doses(bench: Bench) -> str:
    """The same slice at four doses."""
    cut, rows = bench.body, {}
    table = ["| dose | automatic strength | error of the scan | denoised |", "| --- | --- | --- | --- |"]
    for dose in DOSES:
        low, (strength, clean) = bench.scans[dose], bench.automatic(dose)
        panels = [(title, image[cut], SOFT) for title, image in (("scan", low), (f"denoised, {strength:.2f}", clean))]
        rows[f"{percent(dose)} dose"] = [*panels, ("removed, ±60 HU", (low - clean)[cut], REMOVED)]
        table.append(f"| {percent(dose)} | {strength:.2f} | {bench.error(low):.1f} HU | {bench.error(clean):.1f} HU |")
    draw_panels(bench.folder / "doses.png", rows)
    rows_of_table = "\n".join(table)
    return f"""
Soft-tissue window. The strength follows the noise that is measured in the slice: more is removed at a lower dose. Error: root
mean square against the truth in soft tissue, away from edges; {bench.error(bench.noise_free):.1f} HU of it are streaks of the
simulated scanner, which a scan without noise has too. A phantom is uniform inside its organs, which flatters every
denoiser; a patient is not.

{rows_of_table}"""


def noise_power(bench: Bench) -> str:
    """Noise power spectra of the cylinder before and after."""
    found: dict[str, Noise] = {}
    for dose in (1.0, 0.1):
        images = _cylinders(dose)
        strength = bench.estimate(images[0], CYLINDER.pixel_mm).strength
        cleaned = [blend(image, bench.denoised(image), strength) for image in images]
        found[f"{percent(dose)} dose"] = _noise(images)
        found[f"denoised, {percent(dose)} at {strength:.2f}"] = _noise(cleaned)
    lines = {f"{name}: {noise.std:.1f} HU": (noise.frequency, noise.power) for name, noise in found.items()}
    draw_curves(bench.folder / "nps.png", lines, "frequency / mm⁻¹", "noise power / HU² mm²", dashed="denoised")
    before, after = (noise.mean_frequency for noise in list(found.values())[-2:])
    return f"""
Noise power spectrum in the uniform middle of a soft-tissue cylinder 200 mm wide, with the standard deviation in the legend;
dashed: denoised at the automatic strength. A lower curve is less noise. A curve that moves to the left is coarser noise, which
readers notice: at 10 % dose the mean frequency goes from {before:.2f} to {after:.2f} per mm."""


def task_transfer(bench: Bench) -> str:
    """Task transfer functions of discs of three contrasts."""
    cleaned = [bench.denoised(image) for image in _cylinders(0.25)]
    (exact,) = CYLINDER.scan(cylinder(), [NO_NOISE])
    lines, halves = {}, []
    for angle, contrast in DISCS.items():
        x, y = (DISC_DISTANCE_MM * f(np.deg2rad(angle)) for f in (np.cos, np.sin))
        disc = CYLINDER.pixel(x, y), DISC_RADIUS_MM / CYLINDER.pixel_mm, CYLINDER.pixel_mm
        scan, curve = ttf([exact], *disc), ttf(cleaned, *disc)
        lines["scan, any contrast"] = scan
        lines[f"denoised, {contrast:.0f} HU"] = curve
        halves.append(f"{_half(curve):.2f} at {contrast:.0f} HU")
    draw_curves(bench.folder / "ttf.png", lines, "frequency / mm⁻¹", "task transfer function", dashed="denoised")
    return f"""
Resolution at the edges of discs of several contrasts, 25 % dose, mean of {REPEATS} scans; dashed: denoised at strength 1. The
curve of the scan is one half at {_half(scan):.2f} per mm, those of the denoised image at {", ".join(halves)}. A network blurs
what it cannot tell from noise: the weaker an edge, the more. The resolution of a denoised image is not one number; ask at which
contrast it was measured."""


def kernels(bench: Bench) -> str:
    """The same dose with three reconstruction kernels."""
    box = bench.scanner.box(35.0, 0.0, 150.0)
    rows, lines = {}, []
    for kernel, name in (("hann", "smooth (Hann)"), (KERNEL, "Shepp-Logan"), ("ramp", "sharp (ramp)")):
        low, cleaned = bench.scans[0.25], bench.cleaned[0.25]
        if kernel != KERNEL:
            (low,) = bench.scanner.scan(bench.objects, [0.25], kernel=kernel)
            cleaned = bench.denoised(low)
        strength = bench.estimate(low).strength
        clean = blend(low, cleaned, strength)
        panels = [(title, image[box], SOFT) for title, image in (("scan", low), (f"denoised, {strength:.2f}", clean))]
        rows[name] = [*panels, ("removed, ±60 HU", (low - clean)[box], REMOVED)]
        lines.append(f"{name} {bench.error(low):.1f} → {bench.error(clean):.1f} HU")
    draw_panels(bench.folder / "kernels.png", rows)
    return f"""
A quarter of the dose, reconstructed with three kernels; heart and left lung. Error in soft tissue: {"; ".join(lines)}. A smooth
kernel leaves less noise, and what it leaves is coarse and harder to tell from anatomy, so that less is removed."""


def _cylinders(dose: float) -> list[Image]:
    return [CYLINDER.scan(cylinder(), [dose], seed=seed)[0] for seed in range(REPEATS)]


def _noise(images: list[Image]) -> Noise:
    """Measure noise in four regions in the middle of the cylinder."""
    middle = CYLINDER.size // 2
    corners = [(row, column) for row in (middle - REGION_SIZE, middle) for column in (middle - REGION_SIZE, middle)]
    regions = [(index, *corner) for index in range(len(images)) for corner in corners]
    return measure_noise(images, regions, CYLINDER.pixel_mm)


def _half(curve: Curve) -> float:
    """Return the first frequency at which a TTF is below one half."""
    frequency, value = curve
    below = np.flatnonzero(value < 0.5)
    return float(frequency[below[0]] if below.size else frequency[-1])
