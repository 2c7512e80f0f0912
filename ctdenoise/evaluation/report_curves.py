"""Curves of the report: noise power spectra, task transfer functions, metrics by slice."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

import numpy as np

from ctdenoise.evaluation.controls import CONTROL
from ctdenoise.evaluation.document import Evaluation, ImageInfo
from ctdenoise.evaluation.figures import curves, spectra
from ctdenoise.evaluation.pairing import NOISY, REFERENCE
from ctdenoise.evaluation.physics_document import NoiseSpectrum, Physics
from ctdenoise.evaluation.report_pictures import REMOVED, main_psnr

_REFERENCE_COLOUR, _NOISY_COLOUR = "#15803d", "#64748b"
_TEST_COLOURS = ("#c2410c", "#7e22ce", "#be185d", "#4d7c0f")
_CONTROL_COLOURS = ("#0e7490", "#a16207")


def image_colours(images: Mapping[str, ImageInfo]) -> dict[str, str]:
    """Return the colour of each image; the same in tables and curves."""
    tests, controls = cycle(_TEST_COLOURS), cycle(_CONTROL_COLOURS)
    fixed = {REFERENCE: _REFERENCE_COLOUR, NOISY: _NOISY_COLOUR}
    return {
        name: fixed.get(name) or next(controls if image.kind == CONTROL else tests) for name, image in images.items()
    }


def curve_drawings(evaluation: Evaluation) -> dict[str, str]:
    """Return curves as SVG, by title."""
    colours = image_colours(evaluation.images)
    drawings = _slice_drawings(evaluation, colours)
    if evaluation.physics is None:
        return drawings
    controls = [name for name, image in evaluation.images.items() if image.kind == CONTROL]
    return _physics_drawings(evaluation.physics, colours, controls) | drawings


def spectrum_drawing(physics: Physics | None) -> str:
    """Return the two-dimensional noise power spectra of all images as SVG; empty where there are none."""
    found = _spectra(physics) if physics else {}
    if physics is None or not found:
        return ""
    powers = {name: np.array(noise.nps_2d, float) for name, noise in found.items()}
    unit = physics.frequency_unit
    return spectra(powers, 0.5 / (physics.pixel_mm or 1), f"frequency / {unit}", _nps_label(physics))


def _nps_label(physics: Physics) -> str:
    return "NPS / HU² mm²" if physics.pixel_mm else "NPS / HU² pixel²"


def _spectra(physics: Physics) -> dict[str, NoiseSpectrum]:
    """Return the noise of each image, and of what was removed from it, where it was measured."""
    found = {name: image.noise for name, image in physics.images.items()}
    found |= {f"{REMOVED}{name}": removed.noise for name, removed in physics.residual.items()}
    return {name: noise for name, noise in found.items() if noise}


def _physics_drawings(physics: Physics, colours: Mapping[str, str], controls: list[str]) -> dict[str, str]:
    drawings = {}
    frequency = f"frequency / {physics.frequency_unit}"
    # What controls removed would be too many curves.
    found = {
        name: noise for name, noise in _spectra(physics).items() if name not in [f"{REMOVED}{one}" for one in controls]
    }
    if found:
        drawings["noise power spectrum"] = curves(
            {name: (noise.frequency, noise.nps) for name, noise in found.items()},
            {name: colours[name.removeprefix(REMOVED)] for name in found},
            frequency,
            _nps_label(physics),
            dashed=[name for name in found if name.startswith(REMOVED)],
        )
    transfers = {name: image.ttf for name, image in physics.images.items() if image.ttf}
    if transfers:
        lines = {name: (transfer.frequency, transfer.ttf) for name, transfer in transfers.items()}
        drawings["task transfer function"] = curves(lines, colours, frequency, "TTF", top=1.3)
    return drawings


def _slice_drawings(evaluation: Evaluation, colours: Mapping[str, str]) -> dict[str, str]:
    main = main_psnr(evaluation)
    if main is None or len(main.values) < 2:
        return {}
    drawings = {}
    for metric in ("psnr", "ssim"):
        entries = [e for e in evaluation.fidelity if e.metric == metric and e.window == main.window]
        if entries:
            lines = {e.image: (range(1, len(e.values) + 1), e.values) for e in entries}
            label = f"{metric.upper()} / {entries[0].unit}" if entries[0].unit else metric.upper()
            unit, window = ("slice", f", {main.window} window") if evaluation.physics else ("image", "")
            drawings[f"{metric.upper()} by {unit}{window}"] = curves(lines, colours, unit, label)
    return drawings
