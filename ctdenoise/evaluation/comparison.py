"""A denoiser beside simple alternatives, on slices to which known noise is added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.restoration import denoise_tv_chambolle

from ctdenoise.evaluation.metrics import WINDOWS, Window, window_metrics
from ctdenoise.io.dicom import read_slice
from ctdenoise.noise.lowdose import projection_noise

Volume = NDArray[np.float32]

#: Weights, in HU, among which total variation takes the one that suits it best.
TV_WEIGHTS = (5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 70.0, 100.0, 150.0)
_BODY_HU = -200.0


def comparison_table(
    denoise: Callable[[Volume], Volume],
    slabs: Sequence[Sequence[str]],
    *,
    white_hu: Sequence[float],
    projection_hu: Sequence[float],
    seed: int = 0,
) -> str:
    """Measure what is left of added noise, as a Markdown table.

    Total variation (Chambolle 2004) is given the weight that suits it best for each noise, found on the very slices
    it is measured on.

    Parameters
    ----------
    denoise
        ``[D, H, W]`` HU to the same.
    slabs
        DICOM slices, by path; the average of each group of them is a reference, with whatever noise it has.
    white_hu, projection_hu
        Standard deviations of the noise added in turn: white, and as filtered back-projection makes it, the latter
        within the body.
    seed
        Of the noise.
    """
    slices = [[read_slice(Path(path)) for path in slab] for slab in slabs]
    reference = np.stack([np.mean([one.hu for one in slab], axis=0) for slab in slices])
    pixels_mm = [float(slab[0].dataset.PixelSpacing[0]) for slab in slices]
    windows = [WINDOWS["full"], WINDOWS["soft-tissue"]]
    head = ["added noise", "method", *(f"{metric}, {w.name}" for w in windows for metric in ("PSNR", "SSIM", "RMSE"))]
    rows = [head, ["---"] * len(head)]
    for kind, level in [("white", hu) for hu in white_hu] + [("projection", hu) for hu in projection_hu]:
        rng = np.random.default_rng(seed)
        if kind == "white":
            noise = rng.normal(0, level, reference.shape)
        else:
            noise = np.stack(
                [_projection_noise(hu, mm, level, rng) for hu, mm in zip(reference, pixels_mm, strict=True)]
            )
        noisy = (reference + noise).astype(np.float32)
        candidates = [_total_variation(noisy, weight) for weight in TV_WEIGHTS]
        best = max(candidates, key=lambda v: window_metrics(reference, v, WINDOWS["soft-tissue"])["psnr"])
        for method, result in (("none", noisy), ("total variation", best), ("ctdenoise", denoise(noisy))):
            rows.append([f"{kind} {level:g} HU", method, *_cells(reference, result, windows)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _projection_noise(hu: Volume, pixel_mm: float, level: float, rng: np.random.Generator) -> Volume:
    noise = projection_noise(hu, pixel_mm=pixel_mm, photons=3e5, electronic=10, kernel="cosine", rng=rng)
    scaled: Volume = noise * np.float32(level / noise[hu > _BODY_HU].std())
    return scaled


def _total_variation(noisy: Volume, weight: float) -> Volume:
    return np.stack([denoise_tv_chambolle(image, weight=weight) for image in noisy]).astype(np.float32)


def _cells(reference: Volume, result: Volume, windows: Sequence[Window]) -> list[str]:
    cells = []
    for window in windows:
        metrics = window_metrics(reference, result, window)
        cells += [f"{metrics['psnr']:.2f} dB", f"{metrics['ssim']:.4f}", f"{metrics['rmse']:.1f} HU"]
    return cells
