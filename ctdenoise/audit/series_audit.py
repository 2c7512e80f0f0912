"""The audit of a series: every slice, numbers over all of them with intervals, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ctdenoise.audit.document import Audit, Interval, NoiseInfo, SliceAudit, Summary
from ctdenoise.audit.noise_model import NoiseModel, measure_noise_model, noise_in, noise_regions
from ctdenoise.audit.null import simulate_null
from ctdenoise.audit.slice_audit import SeriesNoise, audit_slice
from ctdenoise.audit.verdict import reasons, verdict
from ctdenoise.audit.wording import sentence
from ctdenoise.errors import InputError
from ctdenoise.evaluation.pairing import AlignedStacks
from ctdenoise.noise.measure import REGION_SIZE, evenly_spread
from ctdenoise.version import __version__

#: Names of the two stacks.
SOURCE, DERIVED = "source", "derived"
#: Slices that noise is measured in.
_NOISE_SLICES = 12
#: Pixel spacing that is assumed where it is unknown, mm.
ASSUMED_PIXEL_MM = 0.7
#: Side of the blocks that slices are averaged over to be compared with their neighbours, pixels.
_COARSE = 4
#: A derived slice belongs to a neighbour whose mean square difference is less than this share of that to its own.
_BELONGS = 0.5
_RESAMPLES = 1000

Image = NDArray[np.float32]
Entry = TypeVar("Entry")


def audit_series(aligned: AlignedStacks, noise: SeriesNoise, *, advance: Callable[[], None] | None = None) -> Audit:
    """Audit every slice of a derived series.

    Parameters
    ----------
    aligned
        Stacks named ``source`` and ``derived``.
    noise
        From :func:`series_noise`.
    advance
        Called after each slice.

    Raises
    ------
    InputError
        If a slice cannot be read.
    """
    return _document(aligned, noise, audit_slices(_read(aligned, advance), noise))


def audit_slices(pairs: Iterable[tuple[str, Image, Image]], noise: SeriesNoise) -> list[SliceAudit]:
    """Audit consecutive slices: label, ``[H, W]`` HU of the source and of the derived image.

    Slices without a body are left out.
    """
    order = _SliceOrder()
    found: list[SliceAudit | None] = []
    for label, source, derived in pairs:
        found.append(audit_slice(source, derived, noise, label=label))
        order.add(source, derived)
    return [
        one.model_copy(update={"belongs_to": other})
        for one, other in zip(found, order.belongs_to(), strict=True)
        if one
    ]


def _read(aligned: AlignedStacks, advance: Callable[[], None] | None) -> Iterator[tuple[str, Image, Image]]:
    for index in range(len(aligned)):
        images = aligned.read(index)
        yield aligned.label(index), images[SOURCE], images[DERIVED]
        if advance:
            advance()


def series_noise(aligned: AlignedStacks) -> SeriesNoise:
    """Measure the noise of the source series in some of its slices, and that of the derived series there.

    Raises
    ------
    InputError
        If a slice cannot be read, or the images are photographs.
    """
    if aligned.base.is_photograph:
        raise InputError("expected CT images in HU, found photographs", path=aligned.base.path)
    pixel_mm = aligned.base.pixel_spacing_mm or ASSUMED_PIXEL_MM
    sample = [aligned.read(index) for index in evenly_spread(len(aligned), _NOISE_SLICES)]
    source, derived = ([images[name] for images in sample] for name in (SOURCE, DERIVED))
    regions = noise_regions(source)
    model = measure_noise_model(source, pixel_mm, regions)
    return SeriesNoise(model, simulate_null(model), noise_in(derived, regions, pixel_mm))


def _document(aligned: AlignedStacks, noise: SeriesNoise, slices: Sequence[SliceAudit]) -> Audit:
    summary = summarise(slices)
    found = reasons(slices, summary)
    return Audit(
        version=__version__,
        verdict=verdict(found),
        reasons=found,
        sentence=sentence(found, len(slices)),
        paragraph="",
        pixel_mm=noise.model.pixel_mm,
        pixel_mm_assumed=aligned.base.pixel_spacing_mm is None,
        slices_in_series=len(aligned.base.slices),
        unmatched=aligned.unmatched,
        recommendation=None,
        phantom=None,
        noise=NoiseInfo(
            std_hu=noise.model.std,
            derived_std_hu=noise.derived_std,
            mean_frequency_per_mm=_mean_frequency(noise.model),
            spectrum_measured=noise.model.measured,
        ),
        summary=summary,
        slices=list(slices),
    )


def summarise(slices: Sequence[SliceAudit]) -> Summary:
    """Return means over slices, weighted by area or pixels, with 95 % intervals."""
    return Summary(
        removed_share=_interval([(one.removed_share, 1.0, 0.0) for one in slices]),
        edges=_by_name((one.edges for one in slices), lambda e: (e.change, e.area_mm2, e.standard_error)),
        index=_by_name((one.index for one in slices), lambda i: (i.index, 1.0, 0.0)),
        bias=_by_name((one.bias for one in slices), lambda b: (b.hu, float(b.pixels), b.standard_error)),
    )


def _by_name(
    entries: Iterable[Mapping[str, Entry]], value: Callable[[Entry], tuple[float, float, float]]
) -> dict[str, Interval]:
    collected: dict[str, list[tuple[float, float, float]]] = {}
    for entry in entries:
        for name, one in entry.items():
            collected.setdefault(name, []).append(value(one))
    return {name: interval for name, values in sorted(collected.items()) if (interval := _interval(values))}


def _interval(entries: Sequence[tuple[float, float, float]]) -> Interval | None:
    """Return the weighted mean and its 95 % interval; None of nothing.

    The interval is that of a bootstrap over slices, and at least as wide as the standard errors of the slices make it.

    Parameters
    ----------
    entries
        Value, weight and standard error of each slice.
    """
    if not entries:
        return None
    values, weights, errors = np.transpose(entries)
    mean = float(np.average(values, weights=weights))
    chosen = np.random.default_rng(0).integers(0, len(values), (_RESAMPLES, len(values)))
    means = (values * weights)[chosen].sum(axis=1) / weights[chosen].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    half = 1.96 * float(np.sqrt(((weights * errors) ** 2).sum()) / weights.sum())
    return Interval(value=mean, low=min(float(low), mean - half), high=max(float(high), mean + half))


def _mean_frequency(noise: NoiseModel) -> float:
    axis = np.fft.fftfreq(REGION_SIZE, noise.pixel_mm)
    radius = np.hypot(*np.meshgrid(axis, axis))
    return float((radius * noise.spectrum).sum() / noise.spectrum.sum())


class _SliceOrder:
    """Notices derived slices that resemble the source of a neighbour more than their own."""

    def __init__(self) -> None:
        self._last: tuple[Image, Image] | None = None
        self._distances: list[dict[int, float]] = []

    def add(self, source: Image, derived: Image) -> None:
        """Add the next slice."""
        now = (_coarse(source), _coarse(derived))
        self._distances.append({0: _distance(now[1], now[0])})
        if self._last and self._last[0].shape == now[0].shape:
            self._distances[-1][-1] = _distance(now[1], self._last[0])
            self._distances[-2][1] = _distance(self._last[1], now[0])
        self._last = now

    def belongs_to(self) -> list[int]:
        """Return 0 for each slice that resembles its own source most, else −1 or 1."""
        best = [min(distances, key=distances.__getitem__) for distances in self._distances]
        pairs = zip(best, self._distances, strict=True)
        return [other if d[other] < _BELONGS * d[0] else 0 for other, d in pairs]


def _coarse(image: Image) -> Image:
    clipped = np.clip(np.nan_to_num(image, nan=-1024.0), -1024, 1500)
    rows, columns = (n // _COARSE * _COARSE for n in image.shape)
    blocks = clipped[:rows, :columns].reshape(rows // _COARSE, _COARSE, columns // _COARSE, _COARSE)
    coarse: Image = blocks.mean(axis=(1, 3), dtype=np.float32)
    return coarse


def _distance(a: Image, b: Image) -> float:
    return float(np.mean((a - b) ** 2, dtype=np.float64))
