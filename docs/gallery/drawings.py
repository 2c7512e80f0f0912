"""Pictures and curves of the gallery as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ctdenoise.evaluation import Window

#: What was removed is shown from minus to plus this value, HU.
REMOVED = Window("removed", -60, 60)

Panel = tuple[str, NDArray[np.floating], Window]
Line = tuple[NDArray[np.float64], NDArray[np.float64]]


def draw_panels(path: Path, rows: Mapping[str, Sequence[Panel]]) -> None:
    """Draw rows of images: title, ``[H, W]`` HU and window of each; a row's name stands at its left."""
    columns = max(map(len, rows.values()))
    height, width = next(iter(rows.values()))[0][1].shape
    figure = Figure(figsize=(3 * columns, len(rows) * (3 * height / width + 0.3)), layout="constrained")
    figure.patch.set_facecolor("white")
    for axes, (name, panels) in zip(figure.subplots(len(rows), columns, squeeze=False), rows.items(), strict=True):
        axes[0].set_ylabel(name)
        for axis, (title, image, window) in zip(axes, panels, strict=False):
            axis.imshow(image, cmap="gray", vmin=window.low, vmax=window.high)
            axis.set_title(title, fontsize=10)
            axis.set(xticks=[], yticks=[])
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
    figure.savefig(path, dpi=80)


def draw_curves(path: Path, lines: Mapping[str, Line], x: str, y: str, *, dashed: str = "") -> None:
    """Draw curves by name; those whose name begins with `dashed` are dashed, in the colours of the others in turn."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axes = figure.subplots()
    solid = broken = 0
    for name, (xs, ys) in lines.items():
        is_dashed = bool(dashed) and name.startswith(dashed)
        axes.plot(xs, ys, "--" if is_dashed else "-", color=f"C{broken if is_dashed else solid}", label=name)
        broken, solid = broken + is_dashed, solid + (not is_dashed)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=100)
