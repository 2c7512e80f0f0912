"""Pictures of images in HU windows, and curves, as PNG and SVG."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from ctdenoise.evaluation.windows import Window

#: What was removed is shown from minus to plus this value, HU.
RESIDUAL_HU = 100.0
#: Most spectra beside one another, and the range of their colours.
_MOST_COLUMNS, _DECADES = 4, 1e3
#: Placeholder in SVG for the text colour, which the page defines.
_INK = "#010203"
#: Style of drawings that :func:`svg` writes.
SVG_STYLE: Any = {
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
    """Draw noisy image, denoised image, truth and removed noise side by side, a row for each window, as a PNG.

    Parameters
    ----------
    noisy, denoised, truth
        ``[H, W]`` HU.
    windows
        Windows of the first three; removed noise is shown from −100 to 100 HU.
    path
        File to write.
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
    """Return ``[H, W]`` or ``[H, W, C]`` in a window as a PNG data URL, enlarged by a whole factor."""
    grey = np.clip((np.asarray(image, np.float64) - window.low) / window.width, 0, 1) * 255
    values = np.rint(grey).astype(np.uint8)
    picture = Image.fromarray(values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values)
    if enlarged > 1:
        picture = picture.resize((picture.width * enlarged, picture.height * enlarged), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def error_url(error: NDArray[np.floating], limit: float, enlarged: int = 1) -> str:
    """Return ``[H, W]`` from blue at minus `limit` over white at 0 to red at `limit` as a PNG data URL."""
    rgb = colormaps["RdBu_r"](np.clip(error / (2 * limit) + 0.5, 0, 1))[..., :3]
    return png_url(rgb, Window("error", 0, 1), enlarged)


def spectra(powers: Mapping[str, NDArray[np.float64]], edge: float, axis: str, label: str) -> str:
    """Draw two-dimensional spectra as SVG, with one logarithmic colour scale over three decades.

    Parameters
    ----------
    powers
        ``[N, N]`` each, zero frequency in the centre, by name.
    edge
        Frequency at the edges.
    axis, label
        Labels of both axes and of the colour scale.
    """
    columns = min(len(powers), _MOST_COLUMNS)
    rows = -(-len(powers) // columns)
    highest = max(float(power.max()) for power in powers.values()) or 1.0
    scale = LogNorm(highest / _DECADES, highest, clip=True)
    with rc_context(SVG_STYLE):
        figure = Figure(figsize=(2.2 * columns + 0.9, 2.15 * rows + 0.4), layout="constrained")
        figure.patch.set_alpha(0)
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for panel in panels.flat[len(powers) :]:
            panel.set_visible(False)
        for panel, (name, power) in zip(panels.flat, powers.items(), strict=False):
            shown = panel.imshow(power, norm=scale, cmap="inferno", extent=(-edge, edge, -edge, edge))
            panel.set_title(name, fontsize=8)
            panel.tick_params(labelsize=7)
        figure.supxlabel(axis, fontsize=8)
        figure.supylabel(axis, fontsize=8)
        bar = figure.colorbar(shown, ax=panels, shrink=0.9)
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=7)
        return svg(figure)


def svg_url(drawing: str) -> str:
    """Return an SVG drawing as a data URL; text is black."""
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode()


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float | None]]],
    colours: Mapping[str, str],
    x: str,
    y: str,
    top: float | None = None,
    dashed: Collection[str] = (),
) -> str:
    """Draw curves as SVG, with text in the text colour of the page.

    Parameters
    ----------
    lines
        x and y of each curve, by name; None is a gap. If every x is a range, the axis has whole numbers only.
    colours
        Colour of each curve, by name.
    x, y
        Labels of the axes.
    top
        Upper limit of the y axis, which then begins at 0.
    dashed
        Names of the curves that are dashed.
    """
    with rc_context(SVG_STYLE):
        figure, axes = curve_axes()
        for name, (xs, ys) in lines.items():
            values = [np.nan if value is None else value for value in ys]
            style = "--" if name in dashed else "-"
            axes.plot(xs, values, style, color=colours[name], label=name, linewidth=1.6)
        if all(isinstance(xs, range) for xs, _ in lines.values()):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        if top is not None:
            axes.set_ylim(0, top)
        axes.legend(frameon=False, fontsize=8)
        return svg(figure)


def curve_axes() -> tuple[Figure, Axes]:
    """Return a transparent figure and its axes, for a drawing in :data:`SVG_STYLE`."""
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    axes.patch.set_alpha(0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return figure, axes


def svg(figure: Figure) -> str:
    """Return a figure that was drawn in :data:`SVG_STYLE` as SVG, with text in the text colour of the page."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    drawing = file.getvalue()
    return drawing[drawing.index("<svg") :].replace(_INK, "currentColor")
