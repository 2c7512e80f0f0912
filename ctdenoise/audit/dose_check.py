"""The dose statement on pairs: whether its interval contains the dose that full-dose images of the patient tell."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctdenoise.audit.bench import AtStrength, Bench, make_bench
from ctdenoise.audit.document import DoseStatement
from ctdenoise.audit.phantom import SimulatedDose, at_dose, dose_statement
from ctdenoise.audit.series_audit import ASSUMED_PIXEL_MM, SOURCE
from ctdenoise.audit.windows import Window, WindowReader, correlation_of, middle
from ctdenoise.evaluation.pairing import align
from ctdenoise.evaluation.stacks import open_stack
from ctdenoise.inference import Denoiser
from ctdenoise.inference.strength import automatic_strength
from ctdenoise.noise.lowdose import Scan
from ctdenoise.noise.matching import match_scan
from ctdenoise.noise.measure import evenly_spread
from ctdenoise.noise.regions import series_regions

Image = NDArray[np.float32]

#: Slices of a series, and how many of them the phantom is built in.
_SLICES, _BENCH = 6, 3


@dataclass(frozen=True)
class DosePair:
    """A dose statement from low-dose images alone, and the same from full-dose images.

    Attributes
    ----------
    strength
        The low-dose images were denoised with.
    stated, true
        The latter with other slices, and lower doses that are simulated from full dose.
    """

    strength: float
    stated: DoseStatement
    true: DoseStatement

    @property
    def holds(self) -> bool | None:
        """Whether the stated interval contains the true dose; None if there is no dose in one of them."""
        if self.stated.dose is None or self.true.dose is None:
            return None
        return self.stated.dose.low <= self.true.dose.value <= self.stated.dose.high


@dataclass(frozen=True)
class _FromFullDose:
    """Slices of a bench at lower doses, simulated from the full-dose images."""

    windows: Sequence[Window]
    bench: Bench
    scan: Scan
    dose: float
    correlation: float

    def __call__(self, index: int, dose: float) -> Window:
        """Return a slice of the bench, with its neighbours, at a dose relative to its own."""
        bench = self.bench
        random = _random(100 + index)
        return at_dose(self.windows[index], bench.pixel_mm, self.dose * dose, self.scan, random, self.correlation)


def check_dose(
    full_dose: Sequence[Window],
    denoiser: Denoiser,
    *,
    dose: float,
    pixel_mm: float,
    neighbours: Sequence[Image],
) -> DosePair:
    """Simulate a lower dose, make its dose statement, and compare with what full-dose images tell.

    Parameters
    ----------
    full_dose
        Slices of a series with their neighbours; at least six. The statement is made in one half of them, and checked
        in the other.
    denoiser
        Of the low-dose slices, at their automatic strength.
    dose
        To simulate, relative to that of the series.
    pixel_mm
        Pixel spacing.
    neighbours
        For each slice another one near it, ``[H, W]`` HU, in which uniform regions are found.

    Raises
    ------
    InputError
        If there is too little uniform soft tissue.
    """
    scan = match_scan([middle(one) for one in full_dose[::2]], pixel_mm)
    correlation = correlation_of(full_dose, pixel_mm)
    low_dose = [at_dose(one, pixel_mm, dose, scan, _random(seed), correlation) for seed, one in enumerate(full_dose)]
    strength = automatic_strength([middle(one) for one in low_dose], pixel_mm, None).strength
    denoise = AtStrength(denoiser, strength)
    bench, other = (
        make_bench(
            low_dose[start::2][:_BENCH],
            pixel_mm,
            denoise,
            series_regions(dict(enumerate(neighbours[start::2][:_BENCH]))),
        )
        for start in range(2)
    )
    from_full = _FromFullDose(full_dose[1::2][:_BENCH], other, scan, dose, correlation)
    return DosePair(strength, dose_statement(bench, SimulatedDose(bench)), dose_statement(other, from_full))


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 7])


def main() -> None:
    """Check dose statements on DICOM series and print them as a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m ctdenoise.audit.dose_check", description=__doc__)
    parser.add_argument("series", nargs="+", type=Path, help="folders of full-dose CT series")
    parser.add_argument("--model", default="ct-lowdose-lite", help="(default: ct-lowdose-lite)")
    parser.add_argument("--dose", type=float, default=0.25, help="that is simulated (default: 0.25)")
    options = parser.parse_args()
    denoiser = Denoiser.from_pretrained(options.model, engine="eager")
    print("| series | strength | stated | from full dose | contained |\n| --- | --- | --- | --- | --- |")
    for path in options.series:
        stack = open_stack(path)
        read = WindowReader(align({SOURCE: stack}), denoiser.context)
        step = denoiser.context + 1
        indices = evenly_spread(len(stack.slices) - step, _SLICES)
        found = check_dose(
            [read(index)[SOURCE] for index in indices],
            denoiser,
            dose=options.dose,
            pixel_mm=stack.pixel_spacing_mm or ASSUMED_PIXEL_MM,
            neighbours=[stack.read(index + step) for index in indices],
        )
        contained = {True: "yes", False: "no", None: ""}[found.holds]
        sentences = f"{found.stated.sentence} | {found.true.sentence}"
        print(f"| {path.name} | {found.strength:g} | {sentences} | {contained} |", flush=True)


if __name__ == "__main__":
    main()
