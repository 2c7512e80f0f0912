"""Metrics of every image against the reference, slice by slice."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ctdenoise.evaluation.document import Fidelity
from ctdenoise.evaluation.metrics import METRICS, measure
from ctdenoise.evaluation.pairing import REFERENCE, AlignedStacks
from ctdenoise.evaluation.protocols import Mask, Measurement
from ctdenoise.evaluation.statistics import summarise
from ctdenoise.evaluation.tissues import body_mask

#: Values of one slice: by image and index of the measurement, then by metric.
_SliceValues = dict[tuple[str, int], dict[str, float]]


@dataclass(frozen=True)
class _SliceMeasurement:
    """Measures one slice of all images."""

    aligned: AlignedStacks
    measurements: Sequence[Measurement]
    mask: Mask
    slow_slices: Collection[int]
    advance: Callable[[], None] | None

    def __call__(self, index: int) -> _SliceValues:
        images = self.aligned.read(index)
        reference = images.pop(REFERENCE)
        body = body_mask(reference) if self.mask is Mask.BODY else None
        if body is not None and not body.any():
            body = None
        slow = index in self.slow_slices
        values = {
            (name, i): measure(reference, image, measurement, mask=body, slow=slow)
            for name, image in images.items()
            for i, measurement in enumerate(self.measurements)
        }
        if self.advance:
            self.advance()
        return values


def measure_fidelity(
    aligned: AlignedStacks,
    measurements: Sequence[Measurement],
    *,
    mask: Mask,
    slow_slices: Collection[int],
    advance: Callable[[], None] | None = None,
) -> list[Fidelity]:
    """Compute metrics of every image against the one named ``"reference"``.

    Parameters
    ----------
    aligned
        The reference and others.
    measurements
        Windows and metrics.
    mask
        All pixels, or the body in the reference; all pixels of slices without a body.
    slow_slices
        Indices of the slices that slow metrics are computed for.
    advance
        Called after each slice.

    Raises
    ------
    InputError
        If a slice cannot be read.
    """
    measure_slice = _SliceMeasurement(aligned, measurements, mask, slow_slices, advance)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        slices = list(pool.map(measure_slice, range(len(aligned))))
    return [
        _entry(name, measurement, metric, [values[name, i].get(metric) for values in slices], aligned)
        for name in aligned.stacks
        if name != REFERENCE
        for i, measurement in enumerate(measurements)
        for metric in measurement.metrics
    ]


def _entry(
    image: str, measurement: Measurement, metric: str, values: Sequence[float | None], aligned: AlignedStacks
) -> Fidelity:
    summary = summarise([value for value in values if value is not None])
    window = measurement.window
    return Fidelity(
        image=image,
        window=window.name,
        low=window.low,
        high=window.high,
        how=measurement.description,
        metric=metric,
        unit=METRICS[metric].unit_of(photograph=aligned.base.is_photograph),
        slices=summary.slices,
        mean=summary.mean,
        sd=summary.sd,
        ci95=summary.ci95,
        values=tuple(values),
    )
