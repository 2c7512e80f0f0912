"""Distortion invariance and content relation of an encoder's features, the analysis of §3.2 of the paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from ctdenoise.evaluation.distortions import distortions, unit_range
from ctdenoise.evaluation.record import Record
from ctdenoise.evaluation.stacks import Stack
from ctdenoise.models.encoder import FeatureEncoder, build_encoder, calibrate_batch_norm
from ctdenoise.models.sources import encoder_source, load_source
from ctdenoise.noise.measure import evenly_spread
from ctdenoise.version import __version__

SCHEMA: Literal["ctdenoise-features/1"] = "ctdenoise-features/1"
#: Resolution of each level of the encoder, relative to the image.
SCALES = ("1/2", "1/4", "1/8", "1/16")
#: Largest side of the central crop of an image, a multiple of 16; positions of a feature map that CKA uses.
_CROP_SIDE, _CKA_POSITIONS = 256, 1024
#: Pixel spacing assumed for CT that does not state it, mm.
_USUAL_SPACING_MM = 0.7

Picture = NDArray[np.float32]
#: Feature maps of an image, one for each level: ``[positions, channels]``.
Maps = list[torch.Tensor]


class DistortionScores(Record):
    """How much a distortion changes the features of a level.

    Attributes
    ----------
    cosine
        Mean cosine similarity of clean and distorted features.
    cka
        Their mean linear CKA (Kornblith et al. 2019) over positions.
    found
        Fraction of the distorted images whose most similar clean image is their own.
    """

    cosine: float
    cka: float
    found: float


class LevelScores(Record):
    """One level of an encoder.

    Attributes
    ----------
    scale, channels
        Resolution relative to the image, number of channels.
    content
        Mean cosine similarity of the features of different clean images.
    distortions
        Scores by name of the distortion.
    """

    scale: str
    channels: int
    content: float
    distortions: dict[str, DistortionScores]


class FeatureAnalysis(Record):
    """The analysis: what ``features.json`` contains.

    Attributes
    ----------
    schema_version
        :data:`SCHEMA`; ``schema`` in JSON.
    version
        Of ctdenoise.
    images, kind
        Number of images; ``"CT"`` or ``"photographs"``.
    seed
        Seed of noise and of encoders without weights.
    encoders
        Levels of each encoder, by its name.
    """

    schema_version: Literal["ctdenoise-features/1"] = Field(default=SCHEMA, alias="schema")
    version: str
    images: int
    kind: Literal["CT", "photographs"]
    seed: int
    encoders: dict[str, tuple[LevelScores, ...]]


def analyse(
    stacks: Sequence[Stack],
    encoders: Mapping[str, Path | None],
    *,
    count: int = 12,
    seed: int = 0,
    advance: Callable[[], None] | None = None,
) -> FeatureAnalysis:
    """Compare the features of clean and distorted images, for each encoder and level.

    Images go into the encoder as in the paper: in [0, 1], without the normalisation of CLIP; a central crop of at most
    256 × 256 pixels.

    Parameters
    ----------
    stacks
        The images: all CT, or all photographs.
    encoders
        Names that :func:`~ctdenoise.models.sources.encoder_source` knows, each with a weights file or None.
    count
        Number of images, evenly spread over all slices.
    seed
        Seed of noise and of encoders without weights.
    advance
        Called after each encoder and distortion.

    Raises
    ------
    InputError
        If weights or images cannot be read.
    """
    photographs = stacks[0].is_photograph
    images = _images(stacks, count)
    kinds = distortions(None if photographs else stacks[0].pixel_spacing_mm or _USUAL_SPACING_MM)
    shape = tuple(min(_CROP_SIDE, *(image.shape[axis] for image in images)) // 16 * 16 for axis in (0, 1))
    clean = [_central_crop(image, shape) for image in images]
    distorted = {
        name: [_central_crop(distort(image, rng=np.random.default_rng(seed)), shape) for image in images]
        for name, distort in kinds.items()
    }
    return FeatureAnalysis(
        version=__version__,
        images=len(images),
        kind="photographs" if photographs else "CT",
        seed=seed,
        encoders={
            name: _levels(_encoder(name, file, clean, seed), clean, distorted, advance)
            for name, file in encoders.items()
        },
    )


def _images(stacks: Sequence[Stack], count: int) -> list[Picture]:
    slices = [(stack, index) for stack in stacks for index in range(len(stack.slices))]
    chosen = [slices[i] for i in evenly_spread(len(slices), count)]
    return [unit_range(stack.read(index)) for stack, index in chosen]


def _levels(
    encoder: FeatureEncoder,
    clean: Sequence[Picture],
    distorted: Mapping[str, Sequence[Picture]],
    advance: Callable[[], None] | None,
) -> tuple[LevelScores, ...]:
    features = [_features(encoder, image) for image in clean]
    scores: list[dict[str, DistortionScores]] = [{} for _ in SCALES]
    for kind, images in distorted.items():
        changed = [_features(encoder, image) for image in images]
        for level, found in enumerate(scores):
            found[kind] = _scores([maps[level] for maps in features], [maps[level] for maps in changed])
        if advance:
            advance()
    return tuple(
        LevelScores(
            scale=scale,
            channels=encoder.channels[level + 1],
            content=_content([maps[level] for maps in features]),
            distortions=scores[level],
        )
        for level, scale in enumerate(SCALES)
    )


def _scores(clean: Sequence[torch.Tensor], changed: Sequence[torch.Tensor]) -> DistortionScores:
    similar = _similarities(changed, clean)
    return DistortionScores(
        cosine=float(similar.diagonal().mean()),
        cka=float(np.mean([_cka(a, b) for a, b in zip(clean, changed, strict=True)])),
        found=float((similar.argmax(dim=1) == torch.arange(len(clean))).float().mean()),
    )


def _content(clean: Sequence[torch.Tensor]) -> float:
    """Return the mean similarity of different images."""
    similar = _similarities(clean, clean)
    return float((similar.sum() - similar.trace()) / (len(clean) * (len(clean) - 1)))


def _similarities(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the cosine similarity of every map with every other: ``[len(one), len(other)]``."""
    a, b = (torch.nn.functional.normalize(torch.stack(list(maps)).flatten(1)) for maps in (one, other))
    return a @ b.T


def _encoder(name: str, file: Path | None, clean: Sequence[Picture], seed: int) -> FeatureEncoder:
    source = encoder_source(name)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        encoder = build_encoder(source.layout).eval()
    load_source(encoder, source, file)
    if source.is_random and file is None:
        calibrate_batch_norm(encoder, torch.cat([_tensor(image) for image in clean]))
    return encoder


@torch.inference_mode()
def _features(encoder: FeatureEncoder, image: Picture) -> Maps:
    return [one[0].flatten(1).T.contiguous() for one in encoder.features(_tensor(image))]


def _tensor(image: Picture) -> torch.Tensor:
    """Return ``[1, 3, H, W]``; grey values are repeated."""
    values = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return values.expand(3, -1, -1)[None]


def _cka(a: torch.Tensor, b: torch.Tensor) -> float:
    step = max(1, len(a) // _CKA_POSITIONS)
    x, y = (m[::step].double() - m[::step].double().mean(dim=0) for m in (a, b))
    both, own, other = (torch.linalg.matrix_norm(p.T @ q) for p, q in ((y, x), (x, x), (y, y)))
    return float(both**2 / (own * other).clamp_min(1e-30))


def _central_crop(image: Picture, shape: Sequence[int]) -> Picture:
    top, left = ((have - want) // 2 for have, want in zip(image.shape, shape, strict=False))
    return image[top : top + shape[0], left : left + shape[1]]
