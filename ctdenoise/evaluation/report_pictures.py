"""Pictures of the report: which slices are shown, cropped to the body, and enlarged where the image changed most."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from ctdenoise.evaluation.controls import CONTROL
from ctdenoise.evaluation.document import Evaluation, Fidelity
from ctdenoise.evaluation.figures import RESIDUAL_HU, error_url, png_url
from ctdenoise.evaluation.pairing import NOISY, REFERENCE, AlignedStacks
from ctdenoise.evaluation.physics import MOST_SLICES
from ctdenoise.evaluation.tissues import body_mask
from ctdenoise.evaluation.windows import DEFAULT_WINDOWS, UNIT_RANGE, WINDOWS, Window
from ctdenoise.noise.measure import REGION_SIZE, evenly_spread

#: Before the name of a denoised image: what was removed from the noisy one.
REMOVED = "removed: "
#: Before the name of an image: its difference from the reference.
ERROR = "error: "
#: Side of the enlarged region, pixels, and how much it is enlarged.
_ZOOM_SIDE, _ZOOM_FACTOR = 96, 2
#: Slices of lowest PSNR, and others evenly spread, that are shown.
_LOWEST = ("lowest", "second-lowest")
_SPREAD = 3
#: Range that changes are compared in to find the enlarged region: soft tissue, HU.
_SOFT_TISSUE = (WINDOWS["soft-tissue"].low, WINDOWS["soft-tissue"].high)

Image = NDArray[np.float32]
Region = tuple[slice, slice]


@dataclass(frozen=True)
class Box:
    """A rectangle in a picture, pixels from its top left corner."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class SlicePicture:
    """Pictures of one slice.

    Attributes
    ----------
    label, reason
        Label of the slice, and why it is shown; empty for slices that are evenly spread.
    size, crop, regions
        The whole picture; the enlarged part of it, and the regions that noise was measured in.
    images, zooms
        By window, then by image: a PNG as data URL, whole and enlarged. Controls are enlarged only.
    removed, removed_zooms
        By image: what was removed, whole and enlarged.
    errors, error_zooms
        By image: the difference from the reference, whole and enlarged.
    """

    label: str
    reason: str
    size: Box
    crop: Box
    regions: list[Box]
    images: dict[str, dict[str, str]]
    zooms: dict[str, dict[str, str]]
    removed: dict[str, str]
    removed_zooms: dict[str, str]
    errors: dict[str, str]
    error_zooms: dict[str, str]


@dataclass(frozen=True)
class Pictures:
    """Pictures of the slices to show, and the ends of the colour scale of errors (HU; None without a reference)."""

    slices: list[SlicePicture]
    error_limit: float | None


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
    # First and last slice often show little. Noise is measured in these slices, so that its regions can be shown.
    measured = evenly_spread(count, MOST_SLICES)
    for place in evenly_spread(len(measured), _SPREAD + 2)[1:-1] or range(len(measured)):
        chosen.setdefault(measured[place], "")
    return sorted(list(chosen.items())[: len(_LOWEST) + _SPREAD])


def slice_pictures(evaluation: Evaluation, aligned: AlignedStacks, windows: Sequence[Window]) -> Pictures:
    """Draw the slices to show in each window.

    Raises
    ------
    InputError
        If a slice cannot be read.
    """
    photograph = aligned.base.is_photograph
    controls = [name for name, image in evaluation.images.items() if image.kind == CONTROL]
    shown = [(index, reason, aligned.read(index)) for index, reason in shown_slices(evaluation)]
    limit = None if photograph else _error_limit([images for _, _, images in shown], controls)
    places = evaluation.physics.noise_regions if evaluation.physics else ()
    pictures = []
    for index, reason, images in shown:
        regions = [(row, column) for where, row, column in places if where == index]
        painter = _Painter(windows, photograph, limit, controls)
        pictures.append(painter.paint(evaluation.slices[index], reason, images, regions))
    return Pictures(pictures, limit)


def _error_limit(slices: Sequence[Mapping[str, Image]], controls: Collection[str]) -> float | None:
    """Return a round number of HU that 99 % of the denoised images' errors do not exceed; None without a reference.

    Errors are those inside the body; of the noisy images where there are no others.
    """
    left_out = {REFERENCE, *controls}
    if any(set(images) - left_out - {NOISY} for images in slices):
        left_out.add(NOISY)
    largest = [
        float(np.percentile(np.abs(image - images[REFERENCE])[body_mask(images[REFERENCE])], 99))
        for images in slices
        if REFERENCE in images and body_mask(images[REFERENCE]).any()
        for name, image in images.items()
        if name not in left_out
    ]
    if not largest or max(largest) <= 0:
        return None
    power = 10.0 ** np.floor(np.log10(max(largest)))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= max(largest)))


@dataclass(frozen=True)
class _Painter:
    """Paints slices of one evaluation."""

    windows: Sequence[Window]
    photograph: bool
    error_limit: float | None
    controls: Collection[str]

    def paint(
        self, label: str, reason: str, images: dict[str, Image], regions: Sequence[tuple[int, int]]
    ) -> SlicePicture:
        """Paint one slice; `regions` have a first row and column."""
        body = _body_box(next(iter(images.values())), self.photograph)
        # Left to right: noisy, denoised, controls, reference.
        order = sorted(images, key=lambda name: (name == REFERENCE) - (name == NOISY))
        cut = {name: images[name][body] for name in order}
        whole = {name: image for name, image in cut.items() if name not in self.controls}
        crop = _most_changed(cut)
        top, left = body[0].start or 0, body[1].start or 0
        removed, removed_zooms = self._removed(whole), self._removed(cut, crop)
        return SlicePicture(
            label=label,
            reason=reason,
            size=Box(0, 0, *next(iter(cut.values())).shape[:2]),
            crop=Box(crop[0].start, crop[1].start, crop[0].stop - crop[0].start, crop[1].stop - crop[1].start),
            regions=[Box(row - top, column - left, REGION_SIZE, REGION_SIZE) for row, column in regions],
            images={window.name: _urls(whole, window) for window in self.windows},
            zooms={window.name: _urls(cut, window, crop) for window in self.windows},
            removed=removed,
            removed_zooms=removed_zooms,
            errors=self._errors(whole),
            error_zooms=self._errors(cut, crop),
        )

    def _removed(self, images: Mapping[str, Image], crop: Region | None = None) -> dict[str, str]:
        if NOISY not in images:
            return {}
        limit = UNIT_RANGE.width / 4 if self.photograph else RESIDUAL_HU
        differences = {
            f"{REMOVED}{name}": images[NOISY] - image
            for name, image in images.items()
            if name not in (NOISY, REFERENCE)
        }
        return _urls(differences, Window("removed", -limit, limit), crop)

    def _errors(self, images: Mapping[str, Image], crop: Region | None = None) -> dict[str, str]:
        if self.error_limit is None or REFERENCE not in images:
            return {}
        cut, factor = (np.s_[:, :], 1) if crop is None else (crop, _ZOOM_FACTOR)
        return {
            f"{ERROR}{name}": error_url((image - images[REFERENCE])[cut], self.error_limit, factor)
            for name, image in images.items()
            if name != REFERENCE
        }


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
