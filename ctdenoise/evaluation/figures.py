"""Pictures of results in radiological windows, and curves."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from ctdenoise.evaluation.metrics import Window

#: HU shown as black and white where the removed noise is drawn.
RESIDUAL_HU = 100.0
#: Stands for the text's colour in SVG until the page decides.
_INK = "#010203"
_SVG_STYLE: Any = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
    "svg.fonttype": "none",
    "svg.hashsalt": "ctdenoise",
    "font.family": "sans-serif",
}


def comparison_figure(
    noisy: NDArray[np.float32],
    denoised: NDArray[np.float32],
    truth: NDArray[np.float32],
    *,
    windows: Sequence[Window],
    path: Path,
) -> None:
    """Draw noisy | denoised | truth | removed noise, a row for each window, as a PNG.

    Parameters
    ----------
    noisy, denoised, truth
        ``[H, W]`` HU.
    windows
        How the first three are shown; removed noise is shown over ±100 HU.
    path
        Where the PNG goes.
    """
    rows, columns = noisy.shape
    height = 4 * rows / columns + 0.25
    figure = Figure(figsize=(16, height * len(windows)), layout="constrained", facecolor="white")
    axes = figure.subplots(len(windows), 4, squeeze=False)
    for row, window in zip(axes, windows, strict=True):
        for axis, title, image in zip(row, ("noisy", "denoised", "truth"), (noisy, denoised, truth), strict=False):
            axis.imshow(image, cmap="gray", vmin=window.low, vmax=window.high, interpolation="lanczos")
            axis.set_title(title)
        row[3].imshow(noisy - denoised, cmap="gray", vmin=-RESIDUAL_HU, vmax=RESIDUAL_HU)
        row[3].set_title(f"removed noise (±{RESIDUAL_HU:g} HU)")
        row[0].set_ylabel(f"{window.name} [{window.low:g}, {window.high:g}] HU")
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
    figure.savefig(path, dpi=100)


def png_url(image: NDArray[np.floating], window: Window, enlarged: int = 1) -> str:
    """Return ``[H, W]`` or ``[H, W, C]`` in a window as a PNG in a data URL, enlarged by a whole factor."""
    grey = np.clip((np.asarray(image, np.float64) - window.low) / window.width, 0, 1) * 255
    values = np.rint(grey).astype(np.uint8)
    picture = Image.fromarray(values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values)
    if enlarged > 1:
        picture = picture.resize((picture.width * enlarged, picture.height * enlarged), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float | None]]],
    colours: Mapping[str, str],
    x: str,
    y: str,
    top: float | None = None,
    dashed: Collection[str] = (),
) -> str:
    """Draw curves as SVG whose text takes the colour of the page, light or dark.

    Parameters
    ----------
    lines
        x and y of each, by name; None is a gap.
    colours
        By name.
    x, y
        What the axes say.
    top
        Upper end of y, which then begins at 0.
    dashed
        Names of curves that are not drawn through.
    """
    with rc_context(_SVG_STYLE):
        figure = Figure(figsize=(5.2, 3.2), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        for name, (xs, ys) in lines.items():
            values = [np.nan if value is None else value for value in ys]
            style = "--" if name in dashed else "-"
            axes.plot(xs, values, style, color=colours[name], label=name, linewidth=1.6)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        if top is not None:
            axes.set_ylim(0, top)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    drawing = file.getvalue()
    return drawing[drawing.index("<svg") :].replace(_INK, "currentColor")
