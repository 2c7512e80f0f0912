"""A virtual phantom: lesions inserted into the scan itself, denoised with it, and read by model observers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ctdenoise.audit.bench import Bench
from ctdenoise.audit.document import DoseStatement, Interval, Phantom, PhantomTask
from ctdenoise.audit.inserts import SIDE, insert
from ctdenoise.audit.observers import cho, npw
from ctdenoise.audit.windows import Window, dose_noise_of
from ctdenoise.evaluation import resolution
from ctdenoise.noise.lowdose import Scan
from ctdenoise.noise.matching import match_scan

#: Diameter, mm, and contrast, HU, of the lesions; and those that the dose statement is about.
TASKS = ((3.0, 100.0), (5.0, 10.0), (5.0, -30.0), (10.0, 20.0), (10.0, 100.0), (10.0, -5.0))
DOSE_TASK = (5.0, 10.0)
#: Diameter of the lesions that the resolution is measured with, mm.
_LARGE_MM = 10.0
#: Doses that are simulated, relative to the source's.
DOSES = (0.7, 0.5, 0.35)
_RESAMPLES = 200


def measure_phantom(bench: Bench, *, model: str, strength: float, advance: Callable[[], None] | None = None) -> Phantom:
    """Insert every lesion, denoise, and read; then simulate lower doses.

    Parameters
    ----------
    bench
        From :func:`~ctdenoise.audit.bench.make_bench`.
    model, strength
        For the document.
    advance
        Called after each of the ``len(TASKS) + len(DOSES)`` steps.
    """
    spectra = {"source": bench.spectra(bench.slices), "derived": bench.spectra(bench.denoised)}
    tasks = []
    for task in TASKS:
        tasks.append(_task(bench, task, spectra))
        if advance:
            advance()
    return Phantom(
        slices=len(bench.windows),
        model=model,
        strength=strength,
        ttf="skin" if bench.measured_ttf else "assumed",
        tasks=tasks,
        dose=dose_statement(bench, SimulatedDose(bench), advance),
    )


def _task(bench: Bench, task: tuple[float, float], spectra: Mapping[str, NDArray[np.float64]]) -> PhantomTask:
    patch = insert(*task, bench.pixel_mm, bench.ttf)
    left = bench.responses(patch, bench.windows, bench.denoised)
    recovery = {kind: (patches * patch).sum(axis=(1, 2)) / (patch**2).sum() for kind, patches in left.items()}
    same = np.broadcast_to(patch, left["uniform"].shape)
    return PhantomTask(
        diameter_mm=task[0],
        contrast_hu=task[1],
        lesions={kind: len(values) for kind, values in recovery.items()},
        contrast_recovery={
            kind: _bootstrap(lambda i, values=values: float(values[i].mean()), len(values))  # type: ignore[misc]
            for kind, values in recovery.items()
        },
        ttf50_per_mm=_ttf50(bench, patch, left["uniform"].mean(0)) if task[0] == _LARGE_MM else None,
        npw_source=_observer(npw, same, spectra["source"]),
        npw_derived=_observer(npw, left["uniform"], spectra["derived"]),
        cho_source=_observer(cho, same, spectra["source"]),
        cho_derived=_observer(cho, left["uniform"], spectra["derived"]),
    )


def _ttf50(bench: Bench, patch: NDArray[np.float64], left: NDArray[np.float64]) -> float:
    """Return the frequency, cycles per mm, where the resolution of the scan, times what denoising leaves, is one half.

    What it leaves at a frequency is the regression of the transform of the response on that of the lesion.
    """
    axis = np.fft.fftfreq(SIDE)
    ring = np.round(np.hypot(*np.meshgrid(axis, axis)) * SIDE).astype(int).ravel()
    lesion, response = (np.fft.fft2(one).ravel() for one in (patch, left))
    kept = ring <= SIDE // 2
    cross = np.bincount(ring[kept], (response * lesion.conj()).real[kept])
    power = np.bincount(ring[kept], np.abs(lesion[kept]) ** 2)
    frequency = np.arange(len(power)) / (SIDE * bench.pixel_mm)
    transfer = np.interp(frequency, *bench.ttf) * cross / np.maximum(power, 1e-30)
    return resolution.falling_frequency(frequency, transfer)


class SimulatedDose:
    """Slices of a bench at lower doses, simulated from their own noise."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._scan = match_scan(bench.slices, bench.pixel_mm)

    def __call__(self, index: int, dose: float) -> Window:
        """Return a slice of the bench, with its neighbours, at a dose relative to its own."""
        bench, rng = self._bench, np.random.default_rng(index)
        return at_dose(bench.windows[index], bench.pixel_mm, dose, self._scan, rng, bench.correlation)


def at_dose(
    window: Window, pixel_mm: float, dose: float, scan: Scan, rng: np.random.Generator, correlation: float
) -> Window:
    """Return a slice, with its neighbours, at a dose relative to its own; the correlation is that of neighbours."""
    noise = dose_noise_of(window, pixel_mm=pixel_mm, dose=dose, scan=scan, rng=rng, correlation=correlation)
    noisy: Window = window + noise
    return noisy


def dose_statement(
    bench: Bench, at_dose: Callable[[int, float], Window], advance: Callable[[], None] | None = None
) -> DoseStatement:
    """Find the dose at which the denoised series shows a lesion as well as the source does.

    Parameters
    ----------
    bench
        From :func:`~ctdenoise.audit.bench.make_bench`.
    at_dose
        Returns a slice of the bench, by its index, with its neighbours, at a dose relative to its own.
    advance
        Called after each of the ``len(DOSES)`` doses.
    """
    spectra = {"source": bench.spectra(bench.slices), "derived": bench.spectra(bench.denoised)}
    patch = insert(*DOSE_TASK, bench.pixel_mm, bench.ttf)
    signals = [bench.responses(patch, bench.windows, bench.denoised)["uniform"]]
    noises = [spectra["derived"]]
    for share in DOSES:
        noisy = [at_dose(index, share) for index in range(len(bench.windows))]
        denoised = [bench.denoise(one) for one in noisy]
        signals.append(bench.responses(patch, noisy, denoised)["uniform"])
        noises.append(bench.spectra(denoised))
        if advance:
            advance()
    doses = np.array([1.0, *DOSES])

    def curve(places: NDArray[np.intp], regions: NDArray[np.intp]) -> tuple[float, list[float], float]:
        source = npw(patch, spectra["source"][regions].mean(0))
        derived = [npw(s[places].mean(0), n[regions].mean(0)) for s, n in zip(signals, noises, strict=True)]
        slope, at_one = np.polyfit(np.log(doses), np.log(derived), 1)
        equal = float(np.exp((np.log(source) - at_one) / slope)) if slope > 0 else float("nan")
        return source, derived, equal

    source, derived, equal = curve(np.arange(len(signals[0])), np.arange(len(noises[0])))
    rng = np.random.default_rng(0)
    resampled = [
        curve(rng.integers(0, len(signals[0]), len(signals[0])), rng.integers(0, len(noises[0]), len(noises[0])))[2]
        for _ in range(_RESAMPLES)
    ]
    low, high = np.nanpercentile(resampled, (2.5, 97.5)) if np.isfinite(resampled).any() else (np.nan, np.nan)
    measured = np.isfinite([equal, low, high]).all() and min(DOSES) <= equal <= 1
    dose = Interval(value=equal, low=float(low), high=float(high)) if measured else None
    return DoseStatement(
        diameter_mm=DOSE_TASK[0],
        contrast_hu=DOSE_TASK[1],
        doses=doses.tolist(),
        npw_derived=derived,
        npw_source=source,
        dose=dose,
        sentence=_sentence(dose, source, derived),
    )


def _sentence(dose: Interval | None, source: float, derived: Sequence[float]) -> str:
    what = f"{DOSE_TASK[0]:g} mm, {DOSE_TASK[1]:g} HU"
    if dose:
        return f"Equal d′ for {what} at {dose.value:.0%} [{dose.low:.0%}, {dose.high:.0%}] of this dose."
    if derived[0] < source:
        return f"No dose statement: denoising does not raise d′ for {what} ({source:.2f} to {derived[0]:.2f})."
    return f"No dose statement: d′ for {what} is higher than that of the source down to {min(DOSES):.0%} of the dose."


def _observer(
    observer: Callable[[NDArray[np.float64], NDArray[np.float64]], float],
    signals: NDArray[np.float64],
    spectra: NDArray[np.float64],
) -> Interval:
    """Return d′ with an interval over places and regions, which are drawn independently."""
    rng = np.random.default_rng(0)
    value = observer(signals.mean(0), spectra.mean(0))
    resampled = [
        observer(
            signals[rng.integers(0, len(signals), len(signals))].mean(0),
            spectra[rng.integers(0, len(spectra), len(spectra))].mean(0),
        )
        for _ in range(_RESAMPLES)
    ]
    low, high = np.percentile(resampled, (2.5, 97.5))
    return Interval(value=value, low=float(low), high=float(high))


def _bootstrap(statistic: Callable[[NDArray[np.intp]], float], count: int) -> Interval:
    rng = np.random.default_rng(0)
    low, high = np.percentile([statistic(rng.integers(0, count, count)) for _ in range(_RESAMPLES)], (2.5, 97.5))
    return Interval(value=statistic(np.arange(count)), low=float(low), high=float(high))
