"""The paper's analysis: which features of an encoder noise does not change, and which tell images apart (§3.2)."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

import ctdenoise
from ctdenoise.evaluation.stacks import Stack
from ctdenoise.models.encoder import FeatureEncoder, build_encoder, calibrate_batch_norm
from ctdenoise.models.sources import encoder_source, load_source
from ctdenoise.noise.lowdose import KERNELS, Scan, dose_noise
from ctdenoise.noise.measure import evenly_spread
from ctdenoise.noise.synthetic import gaussian, poisson, salt_and_pepper, spatial_gaussian, speckle
from ctdenoise.transforms import ScaleHU

SCHEMA = "ctdenoise-features/1"
SCALES = ("1/2", "1/4", "1/8", "1/16")
#: Side of the middle of an image that is looked at, and positions at which CKA samples a map.
_SIDE, _POSITIONS = 256, 1024
_SCALE = ScaleHU()
_SCAN = Scan(photons=1e6, kernel=KERNELS["smooth"])

Picture = NDArray[np.float32]
#: Takes an image and, by keyword, ``rng``.
Distort = Callable[..., Picture]


def distortions(pixel_mm: float | None) -> dict[str, Distort]:
    """Return what is done to images, by name.

    Parameters
    ----------
    pixel_mm
        Pixel spacing of CT slices, to which simulated low dose is then done too; None for photographs.
    """
    found: dict[str, Distort] = {
        **{f"Gaussian {level}": partial(gaussian, level=level) for level in (5, 15, 25, 50)},
        **{f"spatial Gaussian {level}": partial(spatial_gaussian, level=level) for level in (40, 55)},
        **{f"Poisson {level}": partial(poisson, level=level) for level in (2, 3.5)},
        "speckle 25": partial(speckle, level=25),
        "salt and pepper 2 %": partial(salt_and_pepper, level=0.02),
        **{f"blur {sigma} px": partial(_blur, sigma=sigma) for sigma in (1, 2)},
        **{f"JPEG {quality}": partial(_jpeg, quality=quality) for quality in (30, 10)},
    }
    if pixel_mm:
        found |= {f"{dose:.0%} dose": partial(_low_dose, pixel_mm=pixel_mm, dose=dose) for dose in (0.25, 0.1)}
    return found


def analyse(
    stacks: Sequence[Stack],
    encoders: Mapping[str, Path | None],
    *,
    count: int = 12,
    seed: int = 0,
    advance: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Compare each encoder's features of clean and distorted images, level by level.

    Images go into the encoder as the paper's do: [0, 1], without CLIP's normalisation; the middle of each, of at most
    256 pixels a side.

    Parameters
    ----------
    stacks
        Where images come from: all CT, or all photographs.
    encoders
        Names as :func:`~ctdenoise.models.sources.encoder_source` knows them, each with a weights file or None.
    count
        How many images, evenly spread over all slices.
    seed
        Of the noise, and of encoders without weights.
    advance
        Called after each encoder and image.

    Returns
    -------
    dict
        Ready for JSON. For each encoder and level: ``content``, the mean cosine similarity of different clean images;
        for each distortion ``cosine``, the mean cosine similarity of clean and distorted features; ``cka``, their
        linear CKA (Kornblith et al. 2019) over positions; ``found``, the share of distorted images whose most
        similar clean image is their own.

    Raises
    ------
    InputError
        If weights or images cannot be read.
    """
    slices = [(stack, index) for stack in stacks for index in range(len(stack.slices))]
    chosen = [slices[i] for i in evenly_spread(len(slices), count)]
    photographs = stacks[0].is_photograph
    whole = [_unit(stack.read(index)) for stack, index in chosen]
    kinds = distortions(None if photographs else stacks[0].pixel_mm or 0.7)
    rows, columns = (min(_SIDE, *(image.shape[axis] for image in whole)) // 16 * 16 for axis in (0, 1))
    clean = [_middle(image, rows, columns) for image in whole]
    distorted = {
        name: [_middle(distort(image, rng=np.random.default_rng(seed)), rows, columns) for image in whole]
        for name, distort in kinds.items()
    }
    found = {}
    for name, file in encoders.items():
        encoder = _encoder(name, file, clean, seed)
        features = [_features(encoder, image) for image in clean]
        levels: list[dict[str, Any]] = [
            {
                "scale": scale,
                "channels": encoder.channels[level + 1],
                "content": _content([maps[level] for maps in features]),
                "distortions": {},
            }
            for level, scale in enumerate(SCALES)
        ]
        for kind, images in distorted.items():
            changed = [_features(encoder, image) for image in images]
            for level, row in enumerate(levels):
                row["distortions"][kind] = _compare([f[level] for f in features], [f[level] for f in changed])
            if advance:
                advance()
        found[name] = levels
    return {
        "schema": SCHEMA,
        "version": ctdenoise.__version__,
        "images": len(chosen),
        "kind": "photographs" if photographs else "CT",
        "seed": seed,
        "encoders": found,
    }


def feature_figure(document: Mapping[str, Any], path: Path) -> None:
    """Draw an analysis: a column for each encoder, cosine similarity above and CKA below, as a PNG."""
    encoders = document["encoders"]
    figure = Figure(figsize=(1.5 + 3.2 * len(encoders), 6.4), layout="constrained", facecolor="white")
    axes = figure.subplots(2, len(encoders), squeeze=False, sharex=True, sharey=True)
    for column, (name, levels) in enumerate(encoders.items()):
        for row, measure in enumerate(("cosine", "cka")):
            axis = axes[row, column]
            for index, kind in enumerate(levels[0]["distortions"]):
                values = [level["distortions"][kind][measure] for level in levels]
                axis.plot(SCALES, values, marker="o", markersize=3, color=colormaps["tab20"](index), label=kind)
            axis.grid(alpha=0.25)
        axes[0, column].plot(SCALES, [level["content"] for level in levels], "k--", label="different images")
        axes[0, column].set_title(name)
        axes[1, column].set_xlabel("level")
    axes[0, 0].set_ylabel("cosine, clean against distorted")
    axes[1, 0].set_ylabel("linear CKA")
    axes[0, 0].set_ylim(0, 1.02)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)


def _compare(clean: Sequence[torch.Tensor], changed: Sequence[torch.Tensor]) -> dict[str, float]:
    similar = _similarities(changed, clean)
    return {
        "cosine": float(similar.diagonal().mean()),
        "cka": float(np.mean([_cka(a, b) for a, b in zip(clean, changed, strict=True)])),
        "found": float((similar.argmax(dim=1) == torch.arange(len(clean))).float().mean()),
    }


def _content(clean: Sequence[torch.Tensor]) -> float:
    """Mean similarity of different images."""
    similar = _similarities(clean, clean)
    return float((similar.sum() - similar.trace()) / (len(clean) * (len(clean) - 1)))


def _similarities(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the cosine similarity of each with each."""
    a, b = (torch.nn.functional.normalize(torch.stack(list(maps)).flatten(1)) for maps in (one, other))
    return a @ b.T


def _encoder(name: str, file: Path | None, clean: Sequence[Picture], seed: int) -> FeatureEncoder:
    source = encoder_source(name)
    torch.manual_seed(seed)
    encoder = build_encoder(source.layout).eval()
    load_source(encoder, source, file)
    if source.is_random and file is None:
        calibrate_batch_norm(encoder, torch.cat([_tensor(image) for image in clean]))
    return encoder


@torch.inference_mode()
def _features(encoder: FeatureEncoder, image: Picture) -> list[torch.Tensor]:
    """Return the maps as ``[positions, channels]``."""
    return [one[0].flatten(1).T.contiguous() for one in encoder.features(_tensor(image))]


def _tensor(image: Picture) -> torch.Tensor:
    values = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return values.expand(3, -1, -1)[None]


def _cka(a: torch.Tensor, b: torch.Tensor) -> float:
    step = max(1, len(a) // _POSITIONS)
    x, y = (m[::step].double() - m[::step].double().mean(dim=0) for m in (a, b))
    both, own, other = (torch.linalg.matrix_norm(p.T @ q) for p, q in ((y, x), (x, x), (y, y)))
    return float(both**2 / (own * other).clamp_min(1e-30))


def _unit(image: Picture) -> Picture:
    """Return ``[H, W, C]`` in [0, 1] of HU or a photograph."""
    if image.ndim == 3:
        return image
    return np.asarray(_SCALE(image), np.float32)[..., None]


def _middle(image: Picture, rows: int, columns: int) -> Picture:
    top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
    return image[top : top + rows, left : left + columns]


def _blur(image: Picture, rng: np.random.Generator, *, sigma: float) -> Picture:
    blurred: Picture = np.asarray(gaussian_filter(image, (sigma, sigma, 0)), np.float32)
    return blurred


def _jpeg(image: Picture, rng: np.random.Generator, *, quality: int) -> Picture:
    stored = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(stored[..., 0] if stored.shape[2] == 1 else stored).save(file, "JPEG", quality=quality)
    decoded: Picture = np.asarray(Image.open(file), np.float32).reshape(image.shape) / np.float32(255)
    return decoded


def _low_dose(image: Picture, rng: np.random.Generator, *, pixel_mm: float, dose: float) -> Picture:
    hu = np.asarray(_SCALE.inverse(image[..., 0]), np.float32)
    return _unit(hu + dose_noise(hu, pixel_mm=pixel_mm, dose=dose, scan=_SCAN, rng=rng))
