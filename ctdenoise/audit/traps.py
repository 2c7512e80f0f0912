"""Known faults of derived series, and how often the audit finds them: ``python -m ctdenoise.audit.traps SERIES… -o F``.

Each trap damages a result that would pass: the source itself, or the source denoised by ``ct-lowdose-lite``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, gaussian_filter, grey_opening

from ctdenoise.audit.noise_model import NoiseModel, measure_noise_model
from ctdenoise.audit.null import simulate_null
from ctdenoise.audit.series_audit import ASSUMED_PIXEL_MM, audit_slices, summarise
from ctdenoise.audit.slice_audit import SeriesNoise
from ctdenoise.audit.verdict import reasons, verdict
from ctdenoise.evaluation.tissues import body_mask
from ctdenoise.files import write_whole

Image = NDArray[np.float32]
Slices = list[Image]

#: Consecutive slices of one trial.
SLICES = 3
#: Least area of lung in a slice that vessels are thinned in, mm².
_LEAST_LUNG_MM2 = 2000.0
_MIDDLE = SLICES // 2


@dataclass(frozen=True)
class Trial:
    """Consecutive slices that a trap works on.

    Attributes
    ----------
    source, derived
        ``[H, W]`` HU each; the derived ones would pass.
    pixel_mm
        Pixel spacing.
    donor
        A slice of another patient.
    rng
        Random generator.
    """

    source: Slices
    derived: Slices
    pixel_mm: float
    donor: Image
    rng: np.random.Generator

    def with_middle(self, image: Image) -> Slices:
        """Return the derived slices with another one in the middle."""
        return [image if i == _MIDDLE else one for i, one in enumerate(self.derived)]

    def disc(self, diameter_mm: float, *, tissue: tuple[float, float]) -> Image:
        """Return a disc of height 1, blurred by 0.5 mm, at a random place of a tissue given by its range of HU."""
        source = self.source[_MIDDLE]
        smooth = gaussian_filter(source, 2.0 / self.pixel_mm)
        margin = max(1, round(diameter_mm / 2 / self.pixel_mm))
        body = binary_erosion(body_mask(source), iterations=margin + 3)
        places = np.argwhere(body & (smooth > tissue[0]) & (smooth < tissue[1]))
        if not len(places):
            places = np.argwhere(body) if body.any() else np.array([np.array(source.shape) // 2])
        row, column = places[self.rng.integers(len(places))]
        rows, columns = np.ogrid[: source.shape[0], : source.shape[1]]
        disc = np.hypot(rows - row, columns - column) <= diameter_mm / 2 / self.pixel_mm
        blurred: Image = gaussian_filter(disc.astype(np.float32), 0.5 / self.pixel_mm)
        return blurred


def blur(trial: Trial, width_mm: float = 0.5) -> Slices:
    """Smooth by a Gaussian."""
    return [gaussian_filter(one, width_mm / trial.pixel_mm) for one in trial.derived]


def sharpen(trial: Trial, amount: float = 0.5) -> Slices:
    """Add an unsharp mask of 0.8 mm."""
    return [one + amount * (one - gaussian_filter(one, 0.8 / trial.pixel_mm)) for one in trial.derived]


def lesion(trial: Trial, diameter_mm: float, hu: float, tissue: tuple[float, float]) -> Slices:
    """Paint a lesion in; the opposite sign stands for one that was erased."""
    return trial.with_middle(trial.derived[_MIDDLE] + np.float32(hu) * trial.disc(diameter_mm, tissue=tissue))


def thin_vessels(trial: Trial) -> Slices:
    """Take bright structures of less than 3 pixels out of the lung by a grey opening."""
    found = []
    for source, derived in zip(trial.source, trial.derived, strict=True):
        lung = (gaussian_filter(source, 2.0 / trial.pixel_mm) < -500) & body_mask(source)
        # Less is air in the bowel or in sinuses.
        is_lung = np.count_nonzero(lung) * trial.pixel_mm**2 > _LEAST_LUNG_MM2
        found.append(np.where(lung, grey_opening(derived, size=(3, 3)), derived) if is_lung else derived)
    return found


def swap(trial: Trial) -> Slices:
    """Exchange two neighbouring slices."""
    first, second, *rest = trial.derived
    return [second, first, *rest]


def offset(trial: Trial, hu: float = 2.0) -> Slices:
    """Add a constant."""
    return [one + np.float32(hu) for one in trial.derived]


def seam(trial: Trial, hu: float = 3.0) -> Slices:
    """Add a constant to the slices on one side of a column through the body, as of a tile."""
    columns = np.flatnonzero(body_mask(trial.source[_MIDDLE]).any(axis=0))
    low, high = np.quantile(columns, (0.25, 0.75))
    column = int(trial.rng.integers(int(low), int(high) + 1))
    side = np.arange(trial.source[0].shape[1]) >= column
    return [(one + np.float32(hu) * side).astype(np.float32) for one in trial.derived]


def copy_anatomy(trial: Trial, share: float = 0.3) -> Slices:
    """Blend anatomy of another patient into a disc of 40 mm, as a network that makes anatomy up would."""
    disc = trial.disc(40.0, tissue=(-1000.0, 1000.0)) * np.float32(share)
    derived = trial.derived[_MIDDLE]
    donor = np.resize(trial.donor, derived.shape) if trial.donor.shape != derived.shape else trial.donor
    return trial.with_middle((1 - disc) * derived + disc * donor)


_SOFT, _LUNG = (-60.0, 140.0), (-950.0, -700.0)
#: What must be found.
TRAPS: dict[str, Callable[[Trial], Slices]] = {
    "Gaussian blur, 0.5 mm": blur,
    "unsharp mask, 50 %": sharpen,
    "lesion erased, 6 mm, 50 HU": lambda trial: lesion(trial, 6, -50, _SOFT),
    "lesion painted in, 6 mm, 50 HU": lambda trial: lesion(trial, 6, 50, _SOFT),
    "nodule erased, 5 mm, 300 HU in lung": lambda trial: lesion(trial, 5, -300, _LUNG),
    "vessels thinned (lung)": thin_vessels,
    "neighbouring slices swapped": swap,
    "offset of 2 HU": offset,
    "seam of 3 HU": seam,
    "anatomy of another patient, 30 %": copy_anatomy,
}

#: What is found only sometimes: weaker lesions.
HARD_TRAPS: dict[str, Callable[[Trial], Slices]] = {
    "lesion painted in, 4 mm, 40 HU": lambda trial: lesion(trial, 4, 40, _SOFT),
    "lesion erased, 10 mm, 20 HU": lambda trial: lesion(trial, 10, -20, _SOFT),
}


@dataclass(frozen=True)
class Rate:
    """How often trials of one kind did not pass."""

    trials: int
    failed: int
    cautioned: int


def rates(
    series: Sequence[tuple[Slices, Slices, float]], *, trials: int, seed: int = 0
) -> Iterator[tuple[str, str, Rate]]:
    """Measure how often each trap fails, and how often what is right does.

    Parameters
    ----------
    series
        Source slices, the same denoised, and pixel spacing, of each patient; at least two patients.
    trials
        For each patient and trap.
    seed
        Of the random generator.

    Yields
    ------
    tuple
        What was done, to what (``source`` or ``denoised``), and the rate.
    """
    counts: dict[tuple[str, str], list[str]] = {}
    for index, (source, denoised, pixel_mm) in enumerate(series):
        model = measure_noise_model(source[:: max(1, len(source) // 8)], pixel_mm)
        noise = SeriesNoise(model, simulate_null(model))
        donor = series[(index + 1) % len(series)][0]
        for number in range(trials):
            rng = np.random.default_rng([seed, index, number])
            start = int(rng.integers(0, len(source) - SLICES + 1))
            window = np.s_[start : start + SLICES]
            bases = {"source": source[window], "denoised": denoised[window]}
            for what, base in bases.items():
                trial = Trial(source[window], base, pixel_mm, donor[int(rng.integers(len(donor)))], rng)
                cases = {name: (trial.source, trap(trial)) for name, trap in (TRAPS | HARD_TRAPS).items()}
                # Without a lung there are no vessels to thin.
                cases = {name: pair for name, pair in cases.items() if not _same(pair[1], base)}
                cases |= {"unchanged": (trial.source, base)}
                if what == "source":
                    cases["noise added and removed"] = (_with_noise(trial.source, model, rng), base)
                for name, (before, after) in cases.items():
                    counts.setdefault((name, what), []).append(judge(before, after, noise))
    for (name, what), found in counts.items():
        yield name, what, Rate(len(found), found.count("fail"), found.count("caution"))


def judge(source: Slices, derived: Slices, noise: SeriesNoise) -> str:
    """Return the verdict on some slices."""
    slices = audit_slices([(str(i), a, b) for i, (a, b) in enumerate(zip(source, derived, strict=True))], noise)
    return verdict(reasons(slices, summarise(slices)))


def _same(one: Slices, other: Slices) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _with_noise(slices: Slices, model: NoiseModel, rng: np.random.Generator) -> Slices:
    """Add as much noise as each slice has."""
    return [one + model.unit_field((one.shape[0], one.shape[1]), rng) * model.local_std(one) for one in slices]


def main() -> None:
    """Measure rates on DICOM series and print them as a Markdown table."""
    from ctdenoise.evaluation.stacks import open_stack
    from ctdenoise.inference import Denoiser
    from ctdenoise.inference.strength import automatic_strength

    parser = argparse.ArgumentParser(prog="python -m ctdenoise.audit.traps", description=__doc__)
    parser.add_argument("series", nargs="+", type=Path, help="folders of at least two CT series")
    parser.add_argument("-o", "--output", type=Path, help="file for the rates as JSON")
    parser.add_argument("--trials", type=int, default=5, help="for each series and trap (default: 5)")
    parser.add_argument("--slices", type=int, default=12, help="consecutive slices of each series (default: 12)")
    options = parser.parse_args()
    denoiser = Denoiser.from_pretrained("ct-lowdose-lite")
    found = []
    for path in options.series:
        stack = open_stack(path)
        count = min(len(stack.slices), options.slices)
        first = (len(stack.slices) - count) // 2
        source = [np.nan_to_num(stack.read(first + i), nan=-1024.0) for i in range(count)]
        strength = automatic_strength(source, stack.pixel_spacing_mm, None).strength
        denoised = [denoiser.denoise_slices(one[None], strength)[0] for one in source]
        found.append((source, denoised, stack.pixel_spacing_mm or ASSUMED_PIXEL_MM))
    table = {}
    print("| | applied to | trials | fail | caution |\n| --- | --- | --- | --- | --- |")
    for name, what, rate in rates(found, trials=options.trials):
        print(f"| {name} | {what} | {rate.trials} | {rate.failed} | {rate.cautioned} |")
        table[f"{name}; {what}"] = vars(rate)
    if options.output:
        write_whole(options.output, json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
