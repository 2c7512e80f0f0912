"""Comparison of denoisers of photographs, with added noise and on pairs of noisy and clean images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ctdenoise.evaluation.filters import Denoise, filter_candidates
from ctdenoise.evaluation.metrics import measure
from ctdenoise.evaluation.protocols import Measurement
from ctdenoise.evaluation.record import Record
from ctdenoise.evaluation.tables import markdown
from ctdenoise.evaluation.windows import UNIT_RANGE
from ctdenoise.io.images import read_image
from ctdenoise.noise.synthetic import NOISES

_MEASUREMENT = Measurement(UNIT_RANGE, ("psnr", "ssim"))

Picture = NDArray[np.float32]


class ImagePairs(Protocol):
    """Clean and noisy images, ``[H, W, C]`` in [0, 1], which are read one pair after the other."""

    def __len__(self) -> int:
        """Return the number of pairs."""

    def __iter__(self) -> Iterator[tuple[Picture, Picture]]:
        """Yield clean and noisy images."""


@dataclass(frozen=True)
class SyntheticPairs:
    """Clean photographs, with noise of the paper's generators and seed (0 for each image).

    Attributes
    ----------
    paths
        Clean images.
    kind, level
        Name in :data:`~ctdenoise.noise.synthetic.NOISES`, and level of the noise.
    """

    paths: Sequence[str]
    kind: str
    level: float

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.paths)

    def __iter__(self) -> Iterator[tuple[Picture, Picture]]:
        """Yield clean and noisy images.

        Raises
        ------
        InputError
            If an image cannot be read.
        """
        for path in self.paths:
            clean = read_image(Path(path)).values
            yield clean, NOISES[self.kind](clean, self.level, np.random.RandomState(0))


@dataclass(frozen=True)
class RealPairs:
    """Noisy photographs and clean ones of the same scenes: paths of both, clean first."""

    paths: Sequence[tuple[str, str]]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.paths)

    def __iter__(self) -> Iterator[tuple[Picture, Picture]]:
        """Yield clean and noisy images.

        Raises
        ------
        InputError
            If an image cannot be read.
        """
        for clean, noisy in self.paths:
            yield read_image(Path(clean)).values, read_image(Path(noisy)).values


@dataclass(frozen=True)
class NoisyDataset:
    """A data set with one kind of noise.

    Attributes
    ----------
    name
        Name of the data set.
    noise
        Kind and level of the noise, or ``"camera"``.
    pairs
        Its images.
    """

    name: str
    noise: str
    pairs: ImagePairs


class MethodResult(Record):
    """Means over the images of a data set with one kind of noise, for one method.

    Attributes
    ----------
    set, noise, images
        Name of the data set, its noise, its number of images.
    method
        Name of the method; ``"none"`` for the noisy images.
    psnr, ssim
        PSNR in dB of all channels together, of values clipped to [0, 1]; SSIM with a Gaussian window, mean over
        channels.
    """

    set: str
    noise: str
    images: int
    method: str
    psnr: float
    ssim: float


def synthetic(name: str, paths: Sequence[str], kind: str, level: float) -> NoisyDataset:
    """Return photographs with noise of the paper's generators."""
    return NoisyDataset(name, f"{kind} {level:g}", SyntheticPairs(paths, kind, level))


def photograph_comparison(
    denoise: Denoise,
    photographs: Sequence[str],
    *,
    noises: Sequence[tuple[str, float]],
    others: Mapping[str, Denoise] | None = None,
) -> str:
    """Compare denoisers on photographs with added noise, as a Markdown table.

    Gaussian blur, total variation, non-local means and, if installed, BM3D use for each noise the parameter that gives
    the best PSNR on these very images.

    Parameters
    ----------
    denoise
        Maps ``[H, W, 3]`` in [0, 1] to the same.
    photographs
        Paths of clean images.
    noises
        Names in :data:`~ctdenoise.noise.synthetic.NOISES`, with levels.
    others
        More denoisers, by name.
    """
    methods = {"ctdenoise": denoise, **(others or {})}
    rows = [row for noise in noises for row in compare(synthetic("", photographs, *noise), methods)]
    return markdown([{key: cells(row)[key] for key in ("noise", "method", "PSNR", "SSIM")} for row in rows])


def compare(
    dataset: NoisyDataset, methods: Mapping[str, Denoise], advance: Callable[[], None] | None = None
) -> list[MethodResult]:
    """Measure the noisy images, classical filters with their best parameters, and methods.

    Parameters
    ----------
    dataset
        The images.
    methods
        Map ``[H, W, C]`` in [0, 1] to the same, by name.
    advance
        Called after each image.
    """
    # The parameters of a filter are relative to the mean noise of the data set.
    noise = float(np.mean([np.std(noisy - clean) for clean, noisy in dataset.pairs]))
    tried: dict[str, list[Denoise]] = {"none": [lambda image: image], **filter_candidates(noise)}
    tried |= {name: [method] for name, method in methods.items()}
    values: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
    for clean, noisy in dataset.pairs:
        for name, candidates in tried.items():
            for index, candidate in enumerate(candidates):
                values[name, index].append(measure(clean, candidate(noisy), _MEASUREMENT))
        if advance:
            advance()
    rows = []
    for name, candidates in tried.items():
        means = [_means(values[name, index]) for index in range(len(candidates))]
        best = max(means, key=lambda mean: mean["psnr"])
        rows.append(MethodResult(set=dataset.name, noise=dataset.noise, images=len(dataset.pairs), method=name, **best))
    return rows


def cells(row: MethodResult) -> dict[str, str]:
    """Return a result as cells of a table."""
    return {
        "set": row.set,
        "noise": row.noise,
        "images": str(row.images),
        "method": row.method,
        "PSNR": f"{row.psnr:.2f} dB",
        "SSIM": f"{row.ssim:.4f}",
    }


def _means(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {metric: float(np.mean([value[metric] for value in values])) for metric in _MEASUREMENT.metrics}
