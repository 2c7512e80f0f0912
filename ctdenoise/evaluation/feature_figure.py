"""The figure of a feature analysis: similarity of clean and distorted features, by level."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ctdenoise.evaluation.features import SCALES, FeatureAnalysis

#: One hue for each kind of distortion, distinguishable with colour blindness (Okabe and Ito 2008, and two more).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7a4a1e", "#808080")
#: One line style and marker for each level of a kind.
_STYLES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))


def curve_styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return colour, line style and marker of each distortion: a colour for the kind, a style for the level.

    Parameters
    ----------
    names
        Names of distortions: kind and level.
    """
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(_kind(name), []).append(name)
    return {
        name: {
            "color": _COLOURS[number % len(_COLOURS)],
            "linestyle": _STYLES[level % len(_STYLES)][0],
            "marker": _STYLES[level % len(_STYLES)][1],
        }
        for number, levels in enumerate(kinds.values())
        for level, name in enumerate(levels)
    }


def feature_figure(analysis: FeatureAnalysis, path: Path) -> None:
    """Draw an analysis as a PNG: a column for each encoder, cosine similarity above linear CKA.

    Parameters
    ----------
    analysis
        From :func:`~ctdenoise.evaluation.features.analyse`.
    path
        File to write.
    """
    encoders = analysis.encoders
    figure = Figure(figsize=(1.5 + 3.2 * len(encoders), 6.4), layout="constrained", facecolor="white")
    axes = figure.subplots(2, len(encoders), squeeze=False, sharex=True, sharey=True)
    for (name, levels), (cosine, cka) in zip(encoders.items(), axes.T, strict=True):
        for kind, style in curve_styles(levels[0].distortions).items():
            options = {**style, "markersize": 3.5, "linewidth": 1.3, "label": kind}
            cosine.plot(SCALES, [level.distortions[kind].cosine for level in levels], **options)
            cka.plot(SCALES, [level.distortions[kind].cka for level in levels], **options)
        cosine.plot(SCALES, [level.content for level in levels], "k-", linewidth=2.5, label="different images")
        cosine.set_title(name)
        cka.set_xlabel("scale of the level")
        for axis in (cosine, cka):
            axis.grid(alpha=0.25)
    axes[0, 0].set_ylabel("cosine similarity, clean and distorted")
    axes[1, 0].set_ylabel("linear CKA, clean and distorted")
    axes[0, 0].set_ylim(0, 1.02)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside right upper", fontsize=8, frameon=False, handlelength=3)
    figure.savefig(path, dpi=110)


def _kind(name: str) -> str:
    """Return the name of a distortion without its level: ``"blur 1 px"`` and ``"25% dose"`` are blur and dose."""
    return re.sub(r"\s*[\d.]+\s*(%|px)?\s*", "", name)
