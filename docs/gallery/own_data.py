"""The section with a real scan of the reader's machine; no real scan is part of the project."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bench import BONE, LUNG, SOFT, Bench, blend
from drawings import REMOVED, draw_panels

from ctdenoise.evaluation.stacks import open_stack


def own_scan(bench: Bench, data: Path) -> str:
    """Draw the middle slice of the first series in ``ct/`` of a folder."""
    stack = open_stack(min(path for path in (data / "ct").iterdir() if path.is_dir()))
    image = stack.read(len(stack.slices) // 2)
    estimate = bench.estimate(image, stack.pixel_spacing_mm)
    clean = blend(image, bench.denoised(image), estimate.strength)
    inside = np.argwhere(image > -300)
    cut = tuple(slice(first, last + 1) for first, last in zip(inside.min(0), inside.max(0), strict=True))
    rows = {}
    for window in (SOFT, LUNG, BONE):
        panels = [(title, one[cut], window) for title, one in (("scan", image), ("denoised", clean))]
        rows[window.name] = [*panels, ("removed, ±60 HU", (image - clean)[cut], REMOVED)]
    draw_panels(bench.folder / "own-scan.png", rows)
    noise = f"{estimate.noise_hu:.1f} HU" if estimate.noise_hu else "not measurable"
    return f"""
The middle slice of the first series in the folder that `CTDENOISE_TEST_DATA` names, at the automatic strength,
{estimate.strength:.2f}. Noise in its soft tissue: {noise}. There is no truth to compare with."""
