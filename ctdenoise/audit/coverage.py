"""How often error bounds hold on pairs: low-dose series simulated from full-dose ones that calibrated nothing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctdenoise.audit.bench import AtStrength
from ctdenoise.audit.error_bounds import TISSUES, Coverage
from ctdenoise.audit.phantom import at_dose
from ctdenoise.audit.series_audit import ASSUMED_PIXEL_MM, SOURCE
from ctdenoise.audit.series_error import calibrate_series
from ctdenoise.audit.windows import Window, WindowReader, correlation_of, middle
from ctdenoise.evaluation.pairing import align
from ctdenoise.evaluation.stacks import open_stack
from ctdenoise.files import write_whole
from ctdenoise.inference import Denoiser
from ctdenoise.inference.strength import automatic_strength
from ctdenoise.io.dicom import read_slice
from ctdenoise.noise.matching import match_scan
from ctdenoise.noise.measure import evenly_spread

#: Range of stored HU of 12 bits.
_STORED_HU = (-1024.0, 3071.0)
#: Slices in which the simulated scan is matched with the series.
_MATCHED = 6


@dataclass(frozen=True)
class PairCoverage:
    """Coverage on one pair.

    Attributes
    ----------
    strength
        The low-dose series was denoised with.
    doses
        That the calibration took it for, relative to full dose.
    shares, mean_hu
        Share of pixels whose error was within the bound, and mean bound, by tissue.
    """

    strength: float
    doses: tuple[float, ...]
    shares: dict[str, float]
    mean_hu: dict[str, float]


def measure_coverage(
    full_dose: Sequence[Window],
    denoiser: Denoiser,
    *,
    dose: float,
    pixel_mm: float,
    thickness_mm: float | None,
    strength: float | None = None,
) -> PairCoverage:
    """Simulate a lower dose, calibrate with every other slice of it alone, and compare the rest with full dose.

    Parameters
    ----------
    full_dose
        Slices of a series with their neighbours; at least two. The calibration does not see them.
    denoiser
        Of the low-dose slices.
    dose
        To simulate, relative to that of the series.
    pixel_mm, thickness_mm
        Pixel spacing and slice thickness; the latter is None if unknown.
    strength
        None is the automatic one of the low-dose slices.

    Raises
    ------
    InputError
        If there is too little uniform soft tissue to simulate noise.
    """
    scan = match_scan([middle(full_dose[i]) for i in evenly_spread(len(full_dose), _MATCHED)], pixel_mm)
    correlation = correlation_of(full_dose, pixel_mm)
    low_dose = []
    for seed, window in enumerate(full_dose):
        noisy = at_dose(window, pixel_mm, dose, scan, np.random.default_rng([seed, 9]), correlation)
        low_dose.append(np.clip(np.rint(noisy), *_STORED_HU).astype(np.float32))
    if strength is None:
        strength = automatic_strength([middle(one) for one in low_dose], pixel_mm, thickness_mm).strength
    denoise = AtStrength(denoiser, strength)
    pairs = [(window, _denoised(window, denoise)) for window in low_dose]
    found = calibrate_series(pairs[::2], denoise, pixel_mm=pixel_mm, thickness_mm=thickness_mm)
    coverage, sums = Coverage(), np.zeros(len(TISSUES))
    for (source, denoised), truth in zip(pairs[1::2], full_dose[1::2], strict=True):
        result = middle(denoised)
        bound = found.bounds.bound(middle(source), result)
        sums += coverage.add(bound, result, middle(truth))
    shares = coverage.shares()
    means = {name: float(sums[i] / coverage.pixels[i]) for i, name in enumerate(TISSUES) if name in shares}
    return PairCoverage(strength, found.doses, shares, means)


def _denoised(window: Window, denoise: AtStrength) -> Window:
    """Denoise a slice with its neighbours, and these without theirs, which are not at hand."""
    itself = denoise(window)
    return np.stack(
        [
            itself if np.array_equal(one, middle(window)) else denoise(np.repeat(one[None], len(window), 0))
            for one in window
        ]
    )


def main() -> None:
    """Measure coverage on DICOM series and print it as a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m ctdenoise.audit.coverage", description=__doc__)
    parser.add_argument("series", nargs="+", type=Path, help="folders of full-dose CT series")
    parser.add_argument("-o", "--output", type=Path, help="file for the numbers as JSON")
    parser.add_argument("--model", default="ct-lowdose-lite", help="(default: ct-lowdose-lite)")
    parser.add_argument("--dose", type=float, default=0.25, help="that is simulated (default: 0.25)")
    parser.add_argument("--strength", type=float, help="(default: automatic)")
    parser.add_argument("--slices", type=int, default=16, help="of each series, evenly spread (default: 16)")
    options = parser.parse_args()
    denoiser = Denoiser.from_pretrained(options.model, engine="eager")
    table = {}
    print(f"| series | strength | taken for | {' | '.join(TISSUES)} |\n| --- |{' --- |' * (2 + len(TISSUES))}")
    for path in options.series:
        stack = open_stack(path)
        read = WindowReader(align({SOURCE: stack}), denoiser.context)
        found = measure_coverage(
            [read(index)[SOURCE] for index in evenly_spread(len(stack.slices), options.slices)],
            denoiser,
            dose=options.dose,
            pixel_mm=stack.pixel_spacing_mm or ASSUMED_PIXEL_MM,
            thickness_mm=read_slice(stack.slices[0].path).slice_thickness_mm if stack.kind == "dicom" else None,
            strength=options.strength,
        )
        cells = [f"{found.shares[t]:.1%} ({found.mean_hu[t]:.1f})" if t in found.shares else "" for t in TISSUES]
        print(
            f"| {path.name} | {found.strength:g} | {found.doses[1]:.0%}–{found.doses[0]:.0%} | {' | '.join(cells)} |",
            flush=True,
        )
        table[path.name] = vars(found)
    if options.output:
        write_whole(options.output, json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
