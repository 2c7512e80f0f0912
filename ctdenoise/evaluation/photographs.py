"""Denoisers of photographs side by side: on noise that is added, and on real pairs (paper §4.1 and §4.2)."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ctdenoise
from ctdenoise.errors import InputError
from ctdenoise.evaluation.filters import Denoise, families
from ctdenoise.evaluation.metrics import UNIT, Row, measure
from ctdenoise.evaluation.tables import markdown
from ctdenoise.io.images import read_image
from ctdenoise.noise.synthetic import NOISES
from ctdenoise.training.datasets import prepare
from ctdenoise.training.resources import resource

SCHEMA = "ctdenoise-suite/1"
#: What the folders of a suite are called, at their beginning, and which data set each is.
_SYNTHETIC = {"cbsd68": "cbsd68", "mcm": "mcmaster", "kodak": "kodak24", "urban": "urban100"}
_REAL = {"cc": "cc", "polyu": "polyu", "sidd": "sidd-validation"}
#: The paper's levels, and two noises that it has none of.
_NOISES = (
    *(("gaussian", level) for level in (15, 25, 50)),
    *(("spatial gaussian", level) for level in (40, 45, 50, 55)),
    *(("poisson", level) for level in (2, 2.5, 3, 3.5)),
    ("speckle", 25),
    ("salt and pepper", 0.02),
)
_ROW = Row(UNIT, ("psnr", "ssim"))

Picture = NDArray[np.float32]


@dataclass(frozen=True)
class Bench:
    """Images with one kind of noise.

    Attributes
    ----------
    name
        Of the data set.
    noise
        Kind and level, or what the pairs are.
    pairs
        Clean and noisy image of each, read when asked for.
    count, expected
        How many there are, and how many the data set has; 0 if nobody knows.
    """

    name: str
    noise: str
    pairs: Callable[[], Iterator[tuple[Picture, Picture]]]
    count: int
    expected: int = 0


def photograph_comparison(
    denoise: Denoise,
    photographs: Sequence[str],
    *,
    noises: Sequence[tuple[str, float]],
    others: Mapping[str, Denoise] | None = None,
) -> str:
    """Measure what is left of noise in photographs, as a Markdown table.

    Total variation, non-local means and, where it is installed, BM3D have for each noise the parameter that suits it
    best, by PSNR on the very images they are measured on.

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
    """
    methods = {"ctdenoise": denoise, **(others or {})}
    rows = [row for noise in noises for row in compare(_synthetic("", photographs, *noise), methods)]
    return markdown([{key: row[key] for key in ("noise", "method", "PSNR", "SSIM")} for row in map(_shown, rows)])


def natural_ood(
    folder: Path, methods: Mapping[str, Denoise], *, advance: Callable[[], None] | None = None
) -> dict[str, Any]:
    """Measure denoisers on the paper's out-of-distribution benches, as many of them as there is data for.

    CBSD68, McMaster, Kodak24 and Urban100 with Gaussian, spatial Gaussian and Poisson noise at the paper's levels and
    seed (0 for each image), speckle and salt-and-pepper noise; CC, PolyU and SIDD validation pairs. PSNR of all colours
    together, of values clipped to [0, 1]; SSIM with a Gaussian window, mean over colours.

    Parameters
    ----------
    folder
        With a folder for each data set, called as it is or nearly so.
    methods
        ``[H, W, 3]`` in [0, 1] to the same, by name.
    advance
        Called after each image with one noise.

    Returns
    -------
    dict
        Ready for JSON: ``rows`` of ``set``, ``noise``, ``images``, ``method``, ``psnr``, ``ssim``; ``missing``, what
        was not there or not whole.

    Raises
    ------
    InputError
        If none of the data sets is there, or an image cannot be read.
    """
    benches, missing = suite(folder)
    rows = [row for bench in benches for row in compare(bench, methods, advance)]
    return {
        "schema": SCHEMA,
        "version": ctdenoise.__version__,
        "suite": "natural-ood",
        "missing": missing,
        "rows": rows,
    }


def suite(folder: Path) -> tuple[list[Bench], list[str]]:
    """Find the benches there is data for, and what is missing.

    Raises
    ------
    InputError
        If there is none.
    """
    if not folder.is_dir():
        raise InputError("expected a folder with one for each data set, found none", path=folder)
    benches: list[Bench] = []
    missing: list[str] = []
    for known, real in ((_SYNTHETIC, False), (_REAL, True)):
        for beginning, name in known.items():
            there = [p for p in sorted(folder.iterdir()) if p.is_dir() and _plain(p.name).startswith(beginning)]
            if not there:
                missing.append(f"{name}: no folder")
                continue
            items = prepare(name, there[0], partial=True)["testing"]
            expected = _expected(name)
            if len(items) != expected:
                missing.append(f"{name}: {len(items)} of {expected} images")
            if real:
                benches.append(_real(name, items, expected))
            else:
                paths = [item["image"] for item in items]
                benches += [_synthetic(name, paths, *noise, expected) for noise in _NOISES]
    if not benches:
        raise InputError(
            f"expected folders called {', '.join((*_SYNTHETIC, *_REAL))}, found none",
            path=folder,
            hint="ctdenoise datasets list tells where to get them",
        )
    return benches, missing


def compare(
    bench: Bench, methods: Mapping[str, Denoise], advance: Callable[[], None] | None = None
) -> list[dict[str, Any]]:
    """Measure the noisy images, tuned filters and some methods, image by image.

    Returns
    -------
    list
        For each method ``set``, ``noise``, ``images``, ``method``, ``psnr`` in dB and ``ssim``: means over images.
    """
    # A filter's parameters are in units of the bench's mean noise.
    noise = float(np.mean([np.std(noisy - clean) for clean, noisy in bench.pairs()]))
    tried: dict[str, list[Denoise]] = {"none": [lambda image: image], **families(noise)}
    tried |= {name: [method] for name, method in methods.items()}
    sums: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
    for clean, noisy in bench.pairs():
        for name, candidates in tried.items():
            for index, candidate in enumerate(candidates):
                sums[name, index].append(measure(clean, candidate(noisy), _ROW))
        if advance:
            advance()
    rows = []
    for name, candidates in tried.items():
        means = [
            {metric: float(np.mean([one[metric] for one in sums[name, i]])) for metric in _ROW.metrics}
            for i in range(len(candidates))
        ]
        best = max(means, key=lambda mean: mean["psnr"])
        rows.append({"set": bench.name, "noise": bench.noise, "images": bench.count, "method": name, **best})
    return rows


def suite_table(document: Mapping[str, Any]) -> str:
    """Return the rows of a suite as a Markdown table, and below it what is missing."""
    table = markdown([_shown(row) for row in document["rows"]])
    return table + "".join(f"\n\nNot whole: {what}." for what in document["missing"])


def _shown(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "set": row["set"],
        "noise": row["noise"],
        "images": str(row["images"]),
        "method": row["method"],
        "PSNR": f"{row['psnr']:.2f} dB",
        "SSIM": f"{row['ssim']:.4f}",
    }


def _synthetic(name: str, photographs: Sequence[str], kind: str, level: float, expected: int = 0) -> Bench:
    def pairs() -> Iterator[tuple[Picture, Picture]]:
        for path in photographs:
            clean = read_image(Path(path)).values
            # The paper's generator, and its seed for each image.
            yield clean, NOISES[kind](clean, level, np.random.RandomState(0))

    return Bench(name, f"{kind} {level:g}", pairs, len(photographs), expected)


def _real(name: str, items: Sequence[Mapping[str, str]], expected: int) -> Bench:
    def pairs() -> Iterator[tuple[Picture, Picture]]:
        for item in items:
            yield read_image(Path(item["label"])).values, read_image(Path(item["image"])).values

    return Bench(name, "camera", pairs, len(items), expected)


def _expected(name: str) -> int:
    spec = json.loads((resource("datasets", name) / "dataset.json").read_text(encoding="utf-8"))
    return int(spec["sections"]["testing"]["count"])


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())
