"""The four figures of the audit's page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from numpy.typing import NDArray

from ctdenoise.audit.document import Audit, Interval
from ctdenoise.audit.series_audit import DERIVED, SOURCE
from ctdenoise.audit.slice_audit import SeriesNoise, change_map
from ctdenoise.audit.verdict import BIAS, EDGES, STRUCTURE
from ctdenoise.evaluation.figures import SVG_STYLE, curve_axes, png_url, svg
from ctdenoise.evaluation.pairing import AlignedStacks
from ctdenoise.evaluation.tissues import body_mask
from ctdenoise.evaluation.windows import WINDOWS, Window

_REMOVED, _ADDED, _NEUTRAL = "#1d4ed8", "#c2410c", "#64748b"
#: Side of the enlarged place, pixels, and its enlargement.
_SIDE, _ENLARGED = 96, 3


@dataclass(frozen=True)
class Pictures:
    """Pictures of the slice with the largest change.

    Attributes
    ----------
    label
        Of the slice.
    place
        The pixel of its largest change, in words.
    window
        That images are shown in.
    images
        By caption, PNG as data URLs: source, derived and difference of the surroundings of the place.
    change
        Map of where structure was removed and added, whole slice.
    """

    label: str
    place: str
    window: Window
    images: dict[str, str]
    change: str


def pictures(audit: Audit, aligned: AlignedStacks, noise: SeriesNoise) -> Pictures | None:
    """Draw the slice with the largest change; None where no slice could be audited."""
    if not audit.slices:
        return None
    worst = max(audit.slices, key=lambda one: max(one.removed.z, one.added.z))
    spot = max(worst.removed, worst.added, key=lambda spot: spot.z)
    index = next(i for i in range(len(aligned)) if aligned.label(i) == worst.label)
    images = aligned.read(index)
    source, derived = images[SOURCE], images[DERIVED]
    rows, columns = (_around(at, size) for at, size in zip((spot.row, spot.column), source.shape, strict=True))
    around = np.s_[rows, columns]
    window = WINDOWS["lung"] if np.nanmedian(source[around]) < -400 else WINDOWS["soft-tissue"]
    limit = max(20.0, 5.0 * worst.noise_hu)
    change = change_map(source, derived, noise)
    where = np.argwhere(body_mask(source))
    (top, left), (bottom, right) = where.min(0), where.max(0) + 1
    return Pictures(
        label=worst.label,
        place=f"row {spot.row}, column {spot.column}",
        window=window,
        images={
            "source": png_url(source[around], window, _ENLARGED),
            "derived": png_url(derived[around], window, _ENLARGED),
            f"derived − source, ±{limit:.0f} HU": png_url(
                (derived - source)[around], Window("", -limit, limit), _ENLARGED
            ),
        },
        change=_coloured(change[top:bottom, left:right], source[top:bottom, left:right]),
    )


def _around(at: int, size: int) -> slice:
    first = int(np.clip(at - _SIDE // 2, 0, max(size - _SIDE, 0)))
    return slice(first, first + _SIDE)


def _coloured(change: NDArray[np.float64], source: NDArray[np.float32]) -> str:
    """Return the slice in grey with removed structure in blue and added in orange, from half the limit to the limit."""
    window = WINDOWS["soft-tissue"]
    grey = np.clip((np.nan_to_num(source, nan=-1024.0) - window.low) / window.width, 0, 1)[..., None] * 0.6
    share = np.clip((np.abs(change) - STRUCTURE.caution / 2) / (STRUCTURE.fail - STRUCTURE.caution / 2), 0, 1)[
        ..., None
    ]
    colours = np.where(change[..., None] < 0, (0.25, 0.5, 1.0), (1.0, 0.5, 0.1))
    return png_url((1 - share) * grey + share * colours, Window("", 0, 1))


def slice_curve(audit: Audit) -> str:
    """Draw the largest removed and added structure of each slice as SVG."""
    with rc_context(SVG_STYLE):
        figure, axes = curve_axes()
        numbers = range(1, len(audit.slices) + 1)
        style: Any = {"linewidth": 1.4, "marker": ".", "markersize": 3}
        axes.plot(numbers, [one.removed.z for one in audit.slices], color=_REMOVED, label="removed", **style)
        axes.plot(numbers, [one.added.z for one in audit.slices], color=_ADDED, label="added", **style)
        axes.axhline(STRUCTURE.fail, color=_NEUTRAL, linestyle="--", linewidth=1, label="limit")
        axes.set_ylim(0, None)
        axes.set_xlabel("audited slice")
        axes.set_ylabel("largest change / usual change")
        axes.legend(frameon=False, fontsize=8)
        return svg(figure)


def interval_chart(audit: Audit) -> str:
    """Draw the change of fine structures and of mean HU with their intervals as SVG, each over its limit."""
    rows: list[tuple[str, Interval, float]] = [
        (f"{name}: contrast lost", change, EDGES.fail) for name, change in audit.summary.edges.items()
    ]
    rows += [(f"{name}: mean HU", bias, BIAS.fail) for name, bias in audit.summary.bias.items()]
    with rc_context(SVG_STYLE):
        figure, axes = curve_axes()
        for at, (_, interval, limit) in enumerate(reversed(rows)):
            low, value, high = (x / limit for x in (interval.low, interval.value, interval.high))
            axes.plot((low, high), (at, at), color=_NEUTRAL, linewidth=2)
            axes.plot(value, at, "o", color=_REMOVED, markersize=4)
        axes.set_yticks(range(len(rows)), [name for name, *_ in reversed(rows)], fontsize=8)
        for limit in (-1, 1):
            axes.axvline(limit, color=_NEUTRAL, linestyle="--", linewidth=1)
        axes.set_xlabel("share of the limit")
        return svg(figure)
