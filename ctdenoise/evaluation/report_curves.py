"""Curves of the report: noise power spectra, task transfer functions, metrics by slice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import cycle

import numpy as np

from ctdenoise.evaluation.document import Evaluation, NoiseSpectrum, Physics
from ctdenoise.evaluation.figures import curves, png_url
from ctdenoise.evaluation.pairing import NOISY, REFERENCE
from ctdenoise.evaluation.report_pictures import REMOVED, main_psnr
from ctdenoise.evaluation.windows import Window

_REFERENCE_COLOUR, _NOISY_COLOUR = "#15803d", "#64748b"
_TEST_COLOURS = ("#c2410c", "#7e22ce", "#be185d", "#4d7c0f", "#0e7490", "#a16207")
#: Enlargement of two-dimensional spectra, which have 32 × 32 values.
_SPECTRUM_FACTOR = 4


def image_colours(names: Iterable[str]) -> dict[str, str]:
    """Return the colour of each image; the same in tables and curves."""
    tests = cycle(_TEST_COLOURS)
    fixed = {REFERENCE: _REFERENCE_COLOUR, NOISY: _NOISY_COLOUR}
    return {name: fixed.get(name) or next(tests) for name in names}


def curve_drawings(evaluation: Evaluation) -> dict[str, str]:
    """Return curves as SVG, by title."""
    colours = image_colours(evaluation.images)
    physics = _physics_drawings(evaluation.physics, colours) if evaluation.physics else {}
    return physics | _slice_drawings(evaluation, colours)


def spectrum_pictures(physics: Physics | None) -> dict[str, str]:
    """Return two-dimensional noise power spectra as PNG data URLs, each scaled to its highest value."""
    if physics is None:
        return {}
    powers = {name: np.array(noise.nps_2d, float) for name, noise in _spectra(physics).items()}
    return {
        name: png_url(power, Window("", 0, float(power.max()) or 1), _SPECTRUM_FACTOR) for name, power in powers.items()
    }


def _spectra(physics: Physics) -> dict[str, NoiseSpectrum]:
    """Return the noise of each image, and of what was removed from it, where it was measured."""
    found = {name: image.noise for name, image in physics.images.items()}
    found |= {f"{REMOVED}{name}": removed.noise for name, removed in physics.residual.items()}
    return {name: noise for name, noise in found.items() if noise}


def _physics_drawings(physics: Physics, colours: Mapping[str, str]) -> dict[str, str]:
    drawings = {}
    frequency = f"frequency / {physics.frequency_unit}"
    spectra = _spectra(physics)
    if spectra:
        drawings["noise power spectrum"] = curves(
            {name: (noise.frequency, noise.nps) for name, noise in spectra.items()},
            {name: colours[name.removeprefix(REMOVED)] for name in spectra},
            frequency,
            "NPS / HU² mm²" if physics.pixel_mm else "NPS / HU² pixel²",
            dashed=[name for name in spectra if name.startswith(REMOVED)],
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
