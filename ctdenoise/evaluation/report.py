"""The evaluation as one self-contained page: opens from disk, prints, light and dark, no network, no names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from ctdenoise.evaluation.evaluate import NOISY, REFERENCE
from ctdenoise.evaluation.figures import RESIDUAL_HU, curves, png_url
from ctdenoise.evaluation.metrics import METRICS, UNIT, USUAL_WINDOWS, WINDOWS, Window
from ctdenoise.evaluation.pairing import Aligned
from ctdenoise.evaluation.physics import body_mask
from ctdenoise.files import write_whole
from ctdenoise.noise.measure import evenly_spread

#: Side of the enlarged region, pixels, and how much it is enlarged.
_ZOOM, _ENLARGED = 96, 3
_WORST, _PICTURES = 2, 3
_REMOVED = "removed: "


def write_report(document: Mapping[str, Any], aligned: Aligned, path: Path) -> None:
    """Write an evaluation as HTML.

    Parameters
    ----------
    document
        From :func:`~ctdenoise.evaluation.evaluate.evaluate`.
    aligned
        The images it is about.
    path
        The file; it gets its name when it is whole.
    """
    windows = _windows(document, aligned)
    environment = Environment(
        loader=PackageLoader("ctdenoise.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    page = environment.get_template("report.html").render(
        document=document,
        physics=document["physics"],
        tables=list(_tables(document)),
        compared=_compared(document),
        windows=windows,
        pictures=[_picture(document, aligned, place, why, windows) for place, why in _places(document, aligned)],
        residual_hu=RESIDUAL_HU,
        drawings=_drawings(document),
        maps=_maps(document["physics"]),
        colours=_colours(document["images"]),
    )
    write_whole(path, page)


def _windows(document: Mapping[str, Any], aligned: Aligned) -> list[Window]:
    if aligned.base.is_photograph:
        return [UNIT]
    # Bones look like nothing in the full range.
    measured = {e["window"]: Window(e["window"], e["low"], e["high"]) for e in document["fidelity"]}
    shown = [window for name, window in measured.items() if name != "full"]
    return shown or [WINDOWS[name] for name in USUAL_WINDOWS if name != "full"]


def _number(value: float | None, digits: int = 2, signed: bool = False) -> str:
    if value is None:
        return "–"
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return text.replace("-", "−")


def _tables(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One table a window: a line for each image, a column for each metric."""
    windows = dict.fromkeys((entry["window"], entry["how"]) for entry in document["fidelity"])
    for window, how in windows:
        entries = [e for e in document["fidelity"] if e["window"] == window]
        metrics = list(dict.fromkeys(e["metric"] for e in entries))
        by = {(e["image"], e["metric"]): e for e in entries}
        lines = [
            {"image": image, "cells": [by[image, metric] for metric in metrics]}
            for image in dict.fromkeys(e["image"] for e in entries)
        ]
        best = {}
        for column, metric in enumerate(metrics):
            means = {line["image"]: line["cells"][column]["mean"] for line in lines}
            known = {image: mean for image, mean in means.items() if mean is not None}
            if len(known) > 1:
                best[metric] = (max if METRICS[metric][1] else min)(known, key=known.__getitem__)
        yield {"window": window, "how": how, "heads": lines[0]["cells"], "lines": lines, "best": best}


def _compared(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """PSNR and SSIM of each pair of images."""
    return [one for one in document["comparisons"] if one["metric"] in ("psnr", "ssim")]


def _places(document: Mapping[str, Any], aligned: Aligned) -> list[tuple[int, str]]:
    """Places to show, and why: the worst of the last image by PSNR, and others evenly spread."""
    chosen: dict[int, str] = {}
    entry = _leading(document)
    if entry and len(aligned) > _PICTURES:
        values = [np.inf if value is None else value for value in entry["values"]]
        for place in np.argsort(values)[:_WORST]:
            chosen[int(place)] = f"lowest PSNR of {entry['image']}, {entry['window']}: {values[place]:.1f} dB"
    for place in evenly_spread(len(aligned), _PICTURES + 2)[1:-1] or evenly_spread(len(aligned), _PICTURES):
        chosen.setdefault(place, "")
    return sorted(list(chosen.items())[: _WORST + _PICTURES])


def _leading(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """PSNR of the first test, in the first window that is not the full range."""
    found = [e for e in document["fidelity"] if e["metric"] == "psnr" and e["image"] != NOISY]
    return next((e for e in found if e["window"] != "full"), found[0] if found else None)


def _picture(
    document: Mapping[str, Any], aligned: Aligned, place: int, why: str, windows: Sequence[Window]
) -> dict[str, Any]:
    images = aligned.read(place)
    order = [name for name in images if name == NOISY]
    order += [name for name in images if name not in (NOISY, REFERENCE)]
    order += [name for name in images if name == REFERENCE]
    region = _body_box(images[next(iter(images))], aligned.base.is_photograph)
    cut = {name: images[name][region] for name in order}
    differences = {}
    if NOISY in cut:
        differences = {f"{_REMOVED}{name}": cut[NOISY] - cut[name] for name in order if name not in (NOISY, REFERENCE)}
    zoom = _most_changed(cut)
    reach = UNIT.width / 4 if aligned.base.is_photograph else RESIDUAL_HU
    around_zero = Window("removed", -reach, reach)
    return {
        "label": document["slices"][place],
        "why": why,
        "windows": {
            window.name: {
                "images": {name: png_url(image, window) for name, image in cut.items()},
                "zooms": {name: png_url(image[zoom], window, _ENLARGED) for name, image in cut.items()},
            }
            for window in windows
        },
        "differences": {
            name: (
                png_url(image, around_zero),
                png_url(image[zoom], around_zero, _ENLARGED),
            )
            for name, image in differences.items()
        },
    }


def _body_box(image: NDArray[np.float32], photograph: bool) -> tuple[slice, slice]:
    body = np.argwhere(body_mask(image)) if not photograph else np.empty((0, 2))
    if len(body) == 0:
        return slice(None), slice(None)
    first, last = np.maximum(body.min(0) - 4, 0), body.max(0) + 5
    return slice(first[0], last[0]), slice(first[1], last[1])


def _most_changed(images: Mapping[str, NDArray[np.float32]]) -> tuple[slice, slice]:
    """Where a test is furthest from the reference, or from the noisy image, in soft tissue."""
    names = list(images)
    other = images[REFERENCE] if REFERENCE in images else images[names[0]]
    test = next((images[name] for name in names if name not in (NOISY, REFERENCE)), other)
    shape = other.shape[:2]
    side = min(_ZOOM, *shape)
    if test.ndim == 3:
        change = np.abs(test - other).mean(axis=2)
    else:
        change = np.abs(np.clip(test, -160, 240) - np.clip(other, -160, 240))
    mean = uniform_filter(change, side)
    half = side // 2
    inner = mean[half : shape[0] - half or None, half : shape[1] - half or None]
    row, column = np.unravel_index(int(np.argmax(inner)), inner.shape) if inner.size else (0, 0)
    row, column = min(int(row), shape[0] - side), min(int(column), shape[1] - side)
    return slice(row, row + side), slice(column, column + side)


def _colours(names: Mapping[str, Any]) -> dict[str, str]:
    tests = iter(("#c2410c", "#7e22ce", "#be185d", "#4d7c0f", "#0e7490", "#a16207"))
    fixed = {REFERENCE: "#15803d", NOISY: "#64748b"}
    return {name: fixed.get(name) or next(tests, "#000000") for name in names}


def _spectra(physics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Noise of each image, and of what was removed from it, where it was measured."""
    found = {name: image["noise"] for name, image in physics["images"].items()}
    found |= {f"{_REMOVED}{name}": row["noise"] for name, row in physics["residual"].items()}
    return {name: noise for name, noise in found.items() if noise}


def _maps(physics: Mapping[str, Any] | None) -> dict[str, str]:
    """Two-dimensional noise power spectra, each up to its highest value."""
    spectra = {name: np.array(noise["nps_2d"]) for name, noise in _spectra(physics).items()} if physics else {}
    return {name: png_url(power, Window("", 0, float(power.max()) or 1), 4) for name, power in spectra.items()}


def _drawings(document: Mapping[str, Any]) -> dict[str, str]:
    """Curves as SVG, by what they show."""
    colours = _colours(document["images"])
    found = {}
    physics = document["physics"]
    if physics:
        unit = physics["frequency_unit"]
        noise = _spectra(physics)
        if noise:
            lines = {name: (one["frequency"], one["nps"]) for name, one in noise.items()}
            removed = [name for name in noise if name.startswith(_REMOVED)]
            colours |= {name: colours[name.removeprefix(_REMOVED)] for name in removed}
            found["noise power spectrum"] = curves(
                lines, colours, f"frequency / {unit}", "NPS / HU² mm²", dashed=removed
            )
        transfers = {name: image["ttf"] for name, image in physics["images"].items() if image["ttf"]}
        if transfers:
            lines = {name: (one["frequency"], one["ttf"]) for name, one in transfers.items()}
            found["task transfer function"] = curves(lines, colours, f"frequency / {unit}", "TTF", top=1.3)
    leading = _leading(document)
    if leading and len(leading["values"]) > 1:
        for metric in ("psnr", "ssim"):
            entries = [e for e in document["fidelity"] if e["metric"] == metric and e["window"] == leading["window"]]
            lines = {e["image"]: (range(1, len(e["values"]) + 1), e["values"]) for e in entries}
            if lines:
                label = f"{metric.upper()} {entries[0]['unit'] and '/ ' + entries[0]['unit']}"
                found[f"{metric.upper()} of each slice, {leading['window']}"] = curves(lines, colours, "slice", label)
    return found
