"""What was changed in one slice: structures, edges, mean HU and seams, each against the noise of the slice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, gaussian_filter, maximum_filter
from scipy.stats import norm

from ctdenoise.audit.bands import Band, bands
from ctdenoise.audit.document import EdgeChange, SliceAudit, Spot, TissueBias, TissueIndex
from ctdenoise.audit.noise_model import NoiseModel
from ctdenoise.audit.null import BandNull
from ctdenoise.audit.seams import find_seam
from ctdenoise.evaluation.tissues import FEWEST_PIXELS, body_mask, tissue_masks

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: HU that structures are clipped to: metal counts as bone.
_ANATOMY_HU = (-1024.0, 1500.0)
#: HU below which the smoothed image is lung, inside the body.
_LUNG_HU = -500.0
#: Least and largest level of what is usually changed, in standard deviations of the scan's own noise.
_LEVELS = (0.15, 1.0)
#: Share of the contrast of a structure in both images that counts as usual, where the noise is the other part.
_STRUCTURE_SHARE = 0.05
#: Percentile of the body's pixels that defines what is usual, and the same percentile of a normal magnitude.
_USUAL_PERCENTILE, _USUAL_QUANTILE = 99.0, 2.576
#: Contrast, in standard deviations of the noise in the band, from which a pixel belongs to a structure.
_STRUCTURE_CONTRAST = 4.0
#: Pixels of the body's outline that are left out.
_OUTLINE = 3
#: Side of the blocks whose means give the standard error of a tissue's mean, pixels.
_BLOCK = 16
#: Diameter of the disc that a band answers most to, over its scale.
_DIAMETER = 3.4
#: Shifts of simulated noise that the index's distribution in noise is taken from.
_SHIFTS = 12
#: Least area of structures that their change is measured in, mm².
_LEAST_EDGES_MM2 = 60.0


@dataclass(frozen=True)
class SeriesNoise:
    """The noise of a series, and what it does in each band.

    Attributes
    ----------
    model, null
        Noise of the source, and what its removal alone does.
    derived_std
        Standard deviation in the derived series where that of the source was measured, HU; None where it was not.
    """

    model: NoiseModel
    null: Sequence[BandNull]
    derived_std: float | None = None


@dataclass(frozen=True)
class _Slice:
    """A slice cut to the body, and what is needed of it more than once."""

    source: Image
    derived: Image
    body: Mask
    local: Image
    bands: Sequence[tuple[Band, Band]]
    masks: Mapping[str, Mask]
    origin: tuple[int, int]

    @property
    def difference(self) -> Image:
        """Derived minus source."""
        return self.derived - self.source


def audit_slice(source: Image, derived: Image, noise: SeriesNoise, *, label: str) -> SliceAudit | None:
    """Measure what was changed in a slice.

    Parameters
    ----------
    source, derived
        ``[H, W]`` HU.
    noise
        Of the source series.
    label
        Of the slice.

    Returns
    -------
    SliceAudit or None
        None where there is no body.
    """
    one = _cut(np.nan_to_num(source, nan=-1024.0), np.nan_to_num(derived, nan=-1024.0), noise.model)
    if one is None:
        return None
    removed, added = _spots(one, noise)
    return SliceAudit(
        label=label,
        removed=removed,
        added=added,
        edges=_edges(one, noise),
        index=_index(one, noise),
        bias=_bias(one),
        seam=find_seam(one.difference, one.body, one.local, one.origin),
        removed_share=float(np.sqrt(np.median((one.difference / one.local)[one.body] ** 2) / 0.455)),
        noise_hu=float(np.median(one.local[one.body])),
        belongs_to=0,
    )


def _cut(source: Image, derived: Image, model: NoiseModel) -> _Slice | None:
    whole = body_mask(source)
    rows, columns = (np.flatnonzero(whole.any(axis)) for axis in (1, 0))
    if rows.size < 2 * _BLOCK or columns.size < 2 * _BLOCK:
        return None
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    body = binary_erosion(whole, iterations=_OUTLINE)[box]
    if np.count_nonzero(body) < FEWEST_PIXELS:
        return None
    pairs = zip(*(bands(np.clip(i[box], *_ANATOMY_HU), model.pixel_mm) for i in (source, derived)), strict=True)
    return _Slice(
        source=source[box],
        derived=derived[box],
        body=body,
        local=model.local_std(source[box]),
        bands=list(pairs),
        # In the source, noise that was removed would choose the pixels, and their mean would change for this alone.
        masks=tissue_masks(derived[box]),
        origin=(int(rows[0]), int(columns[0])),
    )


@dataclass(frozen=True)
class _Scores:
    """The change in one band in units of what is usual, 0 outside of the body, and the band's difference in HU."""

    band: Band
    values: NDArray[np.float64]
    difference: Image
    null: BandNull
    area_mm2: float


def _scores(one: _Slice, noise: SeriesNoise) -> Iterator[_Scores]:
    for (source, derived), null in zip(one.bands, noise.null, strict=True):
        step, body = source.step, one.body[:: source.step, :: source.step]
        if not body.any():
            continue
        window = 2 * round(1.5 * source.scale_mm / noise.model.pixel_mm / step) + 1
        # Structure that both images have, beyond what noise makes: an erased or invented one is in one of them only.
        both = np.minimum(*(maximum_filter(np.abs(band.values), window) for band in (source, derived)))
        usual = null.std * one.local[::step, ::step]
        usual = usual + _STRUCTURE_SHARE * np.maximum(both - 3 * usual, 0)
        difference = derived.values - source.values
        score = difference / usual
        level = float(np.percentile(np.abs(score[body]), _USUAL_PERCENTILE)) / _USUAL_QUANTILE
        score = np.where(body, score / np.clip(level, *_LEVELS), 0.0)
        yield _Scores(source, score, difference, null, float(body.sum()) * (step * noise.model.pixel_mm) ** 2)


def _spots(one: _Slice, noise: SeriesNoise) -> tuple[Spot, Spot]:
    """Return the largest removed and added structures of all bands."""
    found: dict[int, Spot] = {}
    for scores in _scores(one, noise):
        step = scores.band.step
        for sign in (-1, 1):
            at = np.unravel_index(int(np.argmax(sign * scores.values)), scores.values.shape)
            z = max(float(sign * scores.values[at]), 0.0)
            if sign not in found or z > found[sign].z:
                found[sign] = Spot(
                    z=z,
                    p=scores.null.p_value(z, scores.area_mm2),
                    row=int(at[0]) * step + one.origin[0],
                    column=int(at[1]) * step + one.origin[1],
                    diameter_mm=round(_DIAMETER * scores.band.scale_mm, 1),
                    hu=float(scores.difference[at]),
                )
    return found[-1], found[1]


def change_map(source: Image, derived: Image, noise: SeriesNoise) -> NDArray[np.float64]:
    """Return where structure was removed (below 0) and added (above 0) in a slice, ``[H, W]``.

    At each pixel the z of the band in which it is largest; 0 outside of the body.
    """
    found = np.zeros(source.shape)
    one = _cut(np.nan_to_num(source, nan=-1024.0), np.nan_to_num(derived, nan=-1024.0), noise.model)
    if one is None:
        return found
    rows, columns = one.body.shape
    inside = found[one.origin[0] : one.origin[0] + rows, one.origin[1] : one.origin[1] + columns]
    for scores in _scores(one, noise):
        step = scores.band.step
        full = scores.values.repeat(step, 0).repeat(step, 1)[:rows, :columns]
        np.copyto(inside, full, where=np.abs(full) > np.abs(inside))
    return found


def _edges(one: _Slice, noise: SeriesNoise) -> dict[str, EdgeChange]:
    """Return the share of the contrast of structures that was removed, by kind."""
    source, derived = one.bands[0]
    anatomy, removed = (source.values + derived.values) / 2, source.values - derived.values
    unit = noise.null[0].std * one.local
    flat = one.body & (np.abs(anatomy) < 2 * unit)
    coupling = float((removed * anatomy)[flat].sum() / max(float((unit**2)[flat].sum()), 1e-9))
    lung = gaussian_filter(one.source, 2.0 / noise.model.pixel_mm) < _LUNG_HU
    found = {}
    for place, where in (("lung", lung), ("tissue", ~lung)):
        for kind, sign in (("bright", 1), ("dark", -1)):
            chosen = one.body & where & (sign * anatomy > _STRUCTURE_CONTRAST * unit)
            area = float(np.count_nonzero(chosen)) * noise.model.pixel_mm**2
            if area < _LEAST_EDGES_MM2:
                continue
            power = float((anatomy[chosen] ** 2).sum())
            change = (float((removed * anatomy)[chosen].sum()) - coupling * float((unit[chosen] ** 2).sum())) / power
            # Noise is correlated over about the scale of the band.
            spread = np.sqrt(4 * source.scale_mm**2 / noise.model.pixel_mm**2 + 1)
            error = spread * float(np.sqrt(((unit * anatomy)[chosen] ** 2).sum())) / power
            found[f"{kind} in {place}"] = EdgeChange(change=change, standard_error=error, area_mm2=area)
    return found


def _index(one: _Slice, noise: SeriesNoise) -> dict[str, TissueIndex]:
    """Correlate what was removed with the anatomy in each tissue, and compare with simulated noise."""
    source, derived = one.bands[1]
    removed = source.values - derived.values
    if not removed.any():
        return {}
    step = source.step
    unit = noise.null[1].std * one.local[::step, ::step]
    middle = (source.values + derived.values) / 2
    # Noise that is left would correlate with noise that was removed: only what exceeds it is anatomy.
    anatomy = np.sign(middle) * np.maximum(np.abs(middle) - _STRUCTURE_CONTRAST * unit, 0)
    rng = np.random.default_rng(0)
    field = bands(noise.model.unit_field(one.body.shape, rng), noise.model.pixel_mm)[1].values * unit
    # Shifted copies of simulated noise are as good as new ones.
    shifted = [np.roll(field, (31 * k, 47 * k), (0, 1)) for k in range(_SHIFTS)]
    found = {}
    for name, whole in _tissues(one).items():
        mask = whole[::step, ::step]
        if not anatomy[mask].any():
            continue
        value = _correlation(removed[mask], anatomy[mask])
        spread = float(np.sqrt(np.mean([_correlation(noise_[mask], anatomy[mask]) ** 2 for noise_ in shifted])))
        z = value / max(spread, 1e-6)
        found[name] = TissueIndex(index=value, z=z, p=float(2 * norm.sf(abs(z))))
    return found


def _bias(one: _Slice) -> dict[str, TissueBias]:
    """Return the mean change of each tissue, with a standard error from the means of blocks."""
    rows, columns = (np.arange(n) // _BLOCK for n in one.body.shape)
    block = rows[:, None] * (columns[-1] + 1) + columns[None]
    found = {}
    for name, mask in _tissues(one).items():
        values = one.difference[mask].astype(np.float64)
        count = np.bincount(block[mask])
        mean = float(values.mean())
        deviation = np.bincount(block[mask], values - mean)
        # Cluster-robust: the deviations of a block count as one.
        error = float(np.sqrt((deviation**2).sum())) / values.size
        found[name] = TissueBias(hu=mean, standard_error=error, pixels=int(count.sum()))
    return found


def _tissues(one: _Slice) -> Mapping[str, Mask]:
    inside = {name: mask & one.body for name, mask in one.masks.items()}
    return {name: mask for name, mask in inside.items() if np.count_nonzero(mask) > FEWEST_PIXELS}


def _correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    a, b = a - a.mean(), b - b.mean()
    norms = float(np.sqrt((a**2).sum(dtype=np.float64) * (b**2).sum(dtype=np.float64)))
    return float((a * b).sum(dtype=np.float64)) / norms if norms else 0.0
