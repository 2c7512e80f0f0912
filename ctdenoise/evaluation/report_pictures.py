"""Pictures of the report: which slices are shown, cropped to the body, and enlarged where the image changed most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from ctdenoise.evaluation.document import Evaluation, Fidelity
from ctdenoise.evaluation.figures import RESIDUAL_HU, png_url
from ctdenoise.evaluation.pairing import NOISY, REFERENCE, AlignedStacks
from ctdenoise.evaluation.tissues import body_mask
from ctdenoise.evaluation.windows import DEFAULT_WINDOWS, UNIT_RANGE, WINDOWS, Window
from ctdenoise.noise.measure import evenly_spread

#: Before the name of a denoised image: what was removed from the noisy one.
REMOVED = "removed: "
#: Side of the enlarged region, pixels, and how much it is enlarged.
_ZOOM_SIDE, _ZOOM_FACTOR = 96, 3
#: Slices of lowest PSNR, and others evenly spread, that are shown.
_LOWEST = ("lowest", "second-lowest")
_SPREAD = 3
#: Range that changes are compared in to find the enlarged region: soft tissue, HU.
_SOFT_TISSUE = (WINDOWS["soft-tissue"].low, WINDOWS["soft-tissue"].high)

Image = NDArray[np.float32]
Region = tuple[slice, slice]


@dataclass(frozen=True)
class SlicePicture:
    """Pictures of one slice.

    Attributes
    ----------
    label, reason
        Label of the slice, and why it is shown; empty for slices that are evenly spread.
    images, zooms
        By window, then by image: a PNG as data URL, whole and enlarged.
    removed, removed_zooms
        By image: what was removed, whole and enlarged.
    """

    label: str
    reason: str
    images: dict[str, dict[str, str]]
    zooms: dict[str, dict[str, str]]
    removed: dict[str, str]
    removed_zooms: dict[str, str]


def picture_windows(evaluation: Evaluation, aligned: AlignedStacks) -> list[Window]:
    """Return the windows that pictures are shown in: those of the metrics, but the full range, else the default."""
    if aligned.base.is_photograph:
        return [UNIT_RANGE]
    measured = {entry.window: Window(entry.window, entry.low, entry.high) for entry in evaluation.fidelity}
    # Contrasts of soft tissue are invisible in the full range.
    shown = [window for name, window in measured.items() if name != "full"]
    return shown or [WINDOWS[name] for name in DEFAULT_WINDOWS if name != "full"]


def main_psnr(evaluation: Evaluation) -> Fidelity | None:
    """Return the PSNR of the first denoised image, in the first window that is not the full range, if there is one."""
    found = [entry for entry in evaluation.fidelity if entry.metric == "psnr" and entry.image != NOISY]
    return next((entry for entry in found if entry.window != "full"), found[0] if found else None)


def shown_slices(evaluation: Evaluation) -> list[tuple[int, str]]:
    """Return the indices of the slices to show, in order, each with the reason."""
    count = len(evaluation.slices)
    chosen: dict[int, str] = {}
    entry = main_psnr(evaluation)
    if entry and count > _SPREAD:
        values = [np.inf if value is None else value for value in entry.values]
        for rank, index in zip(_LOWEST, np.argsort(values, kind="stable"), strict=False):
            if np.isfinite(values[index]):
                chosen[int(index)] = f"{rank} PSNR of {entry.image}, {entry.window} window: {values[index]:.1f} dB"
    # First and last slice often show little.
    for index in evenly_spread(count, _SPREAD + 2)[1:-1] or evenly_spread(count, _SPREAD):
        chosen.setdefault(index, "")
    return sorted(list(chosen.items())[: len(_LOWEST) + _SPREAD])


def slice_pictures(evaluation: Evaluation, aligned: AlignedStacks, windows: Sequence[Window]) -> list[SlicePicture]:
    """Draw the slices to show in each window.

    Raises
    ------
    InputError
        If a slice cannot be read.
    """
    photograph = aligned.base.is_photograph
    return [
        _slice_picture(evaluation.slices[index], reason, aligned.read(index), windows, photograph)
        for index, reason in shown_slices(evaluation)
    ]


def _slice_picture(
    label: str, reason: str, images: dict[str, Image], windows: Sequence[Window], photograph: bool
) -> SlicePicture:
    region = _body_box(next(iter(images.values())), photograph)
    # Left to right: noisy, denoised, reference.
    order = sorted(images, key=lambda name: (name == REFERENCE) - (name == NOISY))
    shown = {name: images[name][region] for name in order}
    zoom = _most_changed(shown)
    removed = {}
    if NOISY in shown:
        removed = {f"{REMOVED}{n}": shown[NOISY] - shown[n] for n in order if n not in (NOISY, REFERENCE)}
    limit = UNIT_RANGE.width / 4 if photograph else RESIDUAL_HU
    around_zero = Window("removed", -limit, limit)
    return SlicePicture(
        label=label,
        reason=reason,
        images={window.name: _urls(shown, window) for window in windows},
        zooms={window.name: _urls(shown, window, zoom) for window in windows},
        removed=_urls(removed, around_zero),
        removed_zooms=_urls(removed, around_zero, zoom),
    )


def _urls(images: Mapping[str, Image], window: Window, zoom: Region | None = None) -> dict[str, str]:
    if zoom is None:
        return {name: png_url(image, window) for name, image in images.items()}
    return {name: png_url(image[zoom], window, _ZOOM_FACTOR) for name, image in images.items()}


def _body_box(image: Image, photograph: bool) -> Region:
    """Return the bounding box of the body with a margin of 4 pixels; the whole image if there is no body."""
    body = np.empty((0, 2)) if photograph else np.argwhere(body_mask(image))
    if len(body) == 0:
        return slice(None), slice(None)
    first, last = np.maximum(body.min(0) - 4, 0), body.max(0) + 5
    return slice(first[0], last[0]), slice(first[1], last[1])


def _most_changed(images: Mapping[str, Image]) -> Region:
    """Return where the first denoised image differs most from the reference, or else from the noisy image."""
    other = images[REFERENCE] if REFERENCE in images else next(iter(images.values()))
    test = next((image for name, image in images.items() if name not in (NOISY, REFERENCE)), other)
    if test.ndim == 3:
        change = np.abs(test - other).mean(axis=2)
    else:
        change = np.abs(np.clip(test, *_SOFT_TISSUE) - np.clip(other, *_SOFT_TISSUE))
    rows, columns = change.shape
    side = min(_ZOOM_SIDE, rows, columns)
    half = side // 2
    inner = uniform_filter(change, side)[half : rows - half or None, half : columns - half or None]
    row, column = np.unravel_index(int(np.argmax(inner)), inner.shape) if inner.size else (0, 0)
    row, column = min(int(row), rows - side), min(int(column), columns - side)
    return slice(row, row + side), slice(column, column + side)
