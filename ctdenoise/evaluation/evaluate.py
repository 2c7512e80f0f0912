"""The evaluation: everything measured, as one document."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import ctdenoise
from ctdenoise.evaluation import physics, resolution
from ctdenoise.evaluation.metrics import METRICS, Row, measure
from ctdenoise.evaluation.pairing import Aligned
from ctdenoise.evaluation.statistics import comparisons, summary
from ctdenoise.noise.measure import FEWEST, Noise, Region, evenly_spread, measure_noise, uniform_regions

#: Changes when a field changes its meaning or goes; docs/evaluation.md tells what is in it.
SCHEMA = "ctdenoise-metrics/1"
REFERENCE, NOISY = "reference", "noisy"
#: What the rows are called that are no publication's.
USUAL = "usual"
#: Places at which physics, and slow metrics, are measured.
PHYSICS_PLACES, PLACES_FOR_SLOW = 16, 32

Mask = Literal["none", "body"]
Images = dict[str, list[NDArray[np.float32]]]
Advance = Callable[[], None]


@dataclass(frozen=True)
class Insert:
    """A circular insert of a phantom.

    Parameters
    ----------
    row, column
        Of its centre, in pixels.
    radius_mm
        Its radius.
    """

    row: float
    column: float
    radius_mm: float


def evaluate(
    aligned: Aligned,
    rows: Sequence[Row],
    *,
    protocol: str,
    mask: Mask = "none",
    inserts: Sequence[Insert] = (),
    advance: Advance | None = None,
) -> dict[str, Any]:
    """Measure images against their reference, and what needs none.

    Parameters
    ----------
    aligned
        Stacks named ``"reference"`` and ``"noisy"``, where there are such, and any others; these are tests.
    rows
        What is measured against the reference, in which windows.
    protocol
        What `rows` are called.
    mask
        Where: everywhere or in the body of the reference.
    inserts
        Where TTF, contrast and CNR are measured; without any, TTF is measured at the skin.
    advance
        Called after each slice.

    Returns
    -------
    dict
        Ready for JSON; docs/evaluation.md has its fields.

    Raises
    ------
    InputError
        If a slice cannot be read.
    """
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "version": ctdenoise.__version__,
        "protocol": protocol,
        "mask": mask,
        "images": {name: {"kind": s.kind, "slices": len(s.slices)} for name, s in aligned.stacks.items()},
        "slices": [aligned.label(place) for place in range(len(aligned))],
        "warnings": [],
        "fidelity": [],
        "comparisons": [],
        "physics": None,
    }
    if aligned.left_out:
        document["warnings"].append(
            f"{aligned.left_out} slices have no partner in every image and are left out; {len(aligned)} are evaluated"
        )
    if REFERENCE in aligned.stacks and len(aligned.stacks) > 1:
        # A protocol is kept to; else some slices do for what takes long.
        slow = PLACES_FOR_SLOW if protocol == USUAL else len(aligned)
        document["fidelity"] = _fidelity(aligned, rows, mask, evenly_spread(len(aligned), slow), advance)
        document["comparisons"] = comparisons(document["fidelity"])
    if not aligned.base.is_photograph:
        document["physics"] = _physics(aligned, inserts)
        document["warnings"] += _warnings(document["physics"])
    return _finite(document)  # type: ignore[no-any-return]


def _fidelity(
    aligned: Aligned, rows: Sequence[Row], mask: Mask, slow: Sequence[int], advance: Advance | None
) -> list[dict[str, Any]]:
    def measure_place(place: int) -> dict[tuple[str, int], dict[str, float]]:
        images = aligned.read(place)
        reference = images.pop(REFERENCE)
        body = physics.body_mask(reference) if mask == "body" else None
        if body is not None and not body.any():
            body = None
        found = {
            (name, i): measure(reference, image, row, mask=body, slow=place in slow)
            for name, image in images.items()
            for i, row in enumerate(rows)
        }
        if advance:
            advance()
        return found

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        places = list(pool.map(measure_place, range(len(aligned))))
    entries = []
    for name in aligned.stacks:
        for i, row in enumerate(rows if name != REFERENCE else ()):
            for metric in row.metrics:
                values = [place[name, i].get(metric) for place in places]
                entries.append(
                    {
                        "image": name,
                        "window": row.window.name,
                        "low": row.window.low,
                        "high": row.window.high,
                        "how": row.how,
                        "metric": metric,
                        "unit": "" if aligned.base.is_photograph and metric != "psnr" else METRICS[metric][0],
                        **summary([value for value in values if value is not None]),
                        "values": values,
                    }
                )
    return entries


def _physics(aligned: Aligned, inserts: Sequence[Insert]) -> dict[str, Any]:
    places = evenly_spread(len(aligned), PHYSICS_PLACES)
    read = [aligned.read(place) for place in places]
    images: Images = {name: [place[name] for place in read] for name in aligned.stacks}
    base = next(iter(images))
    pixel_mm = aligned.base.pixel_mm
    mm = pixel_mm or 1.0
    regions = uniform_regions(images[base])
    arcs = [resolution.skin_arcs(image) for image in images[base]]
    masks = [physics.tissue_masks(image) for image in images[base]]
    discs = [((one.row, one.column), one.radius_mm / mm) for one in inserts]
    found = {}
    for name, stack in images.items():
        tissues = physics.TissueMeans()
        for mask, reference, image in zip(masks, images[base], stack, strict=True):
            tissues.add(mask, reference, image)
        entry: dict[str, Any] = {"tissues": tissues.table(), "noise": None, "d_prime": None}
        curve = None
        if discs:
            curves = [resolution.ttf(stack, centre, radius, mm) for centre, radius in discs]
            curve = (curves[0][0], np.mean([one[1] for one in curves], axis=0))
        elif any(arcs):
            curve = resolution.skin_ttf(stack, arcs, mm)
        entry["ttf"] = curve and {
            "at": "inserts" if discs else "skin",
            "frequency": curve[0].tolist(),
            "ttf": curve[1].tolist(),
            "ttf50": resolution.fifty(*curve),
        }
        if len(regions) >= FEWEST:
            noise = measure_noise(stack, regions, mm)
            entry["noise"] = _noise(noise)
            entry["d_prime"] = physics.detectability(noise, mm, ttf=curve) if pixel_mm else None
            entry["cnr_soft_tissue_fat"] = _cnr(entry["tissues"], noise.std)
        entry["inserts"] = [physics.insert_contrast(stack, *disc) for disc in discs]
        found[name] = entry
    return {
        "slices": len(places),
        "regions": len(regions),
        "arcs": sum(map(len, arcs)),
        "measured_where": base,
        "pixel_mm": pixel_mm,
        "frequency_unit": "1/mm" if pixel_mm else "1/pixel",
        "task": {"diameter_mm": physics.TASK[0], "contrast_hu": physics.TASK[1]},
        "inserts": [asdict(one) for one in inserts],
        "images": found,
        "residual": {
            name: _residual(images, name, regions, mm)
            for name in images
            if NOISY in images and name not in (NOISY, REFERENCE)
        },
    }


def _residual(images: Images, name: str, regions: Sequence[Region], mm: float) -> dict[str, Any]:
    noisy, denoised = images[NOISY], images[name]
    found = asdict(physics.residual(noisy, denoised, images.get(REFERENCE, denoised)))
    removed = [before - after for before, after in zip(noisy, denoised, strict=True)]
    return {**found, "noise": _noise(measure_noise(removed, regions, mm)) if len(regions) >= FEWEST else None}


def _noise(noise: Noise) -> dict[str, Any]:
    return {
        "std_hu": noise.std,
        "peak_frequency": noise.peak_frequency,
        "mean_frequency": noise.mean_frequency,
        "frequency": noise.frequency.tolist(),
        "nps": noise.power.tolist(),
        "nps_2d": np.fft.fftshift(noise.spectrum).tolist(),
    }


def _cnr(tissues: dict[str, dict[str, float]], noise: float) -> float | None:
    if not noise or not {"soft tissue", "fat"} <= set(tissues):
        return None
    return (tissues["soft tissue"]["mean_hu"] - tissues["fat"]["mean_hu"]) / noise


def _warnings(found: dict[str, Any]) -> Iterable[str]:
    if found["regions"] < FEWEST:
        yield f"only {found['regions']} uniform regions of soft tissue were found: noise, NPS, CNR and d′ are left out"
    if not found["inserts"] and not found["arcs"]:
        yield "no smooth piece of skin was found: TTF is left out; --insert names a phantom's inserts"
    if found["pixel_mm"] is None:
        yield "pixel spacing is not known: frequencies are per pixel, and d′ is left out"
    images = found["images"]
    reference = images.get(REFERENCE)
    for name, image in images.items():
        for tissue, row in image["tissues"].items():
            if name not in (found["measured_where"], NOISY) and abs(row["bias_hu"]) > 2:
                yield f"{name}: mean HU of {tissue} is off by {row['bias_hu']:+.1f} HU from {found['measured_where']}"
        if name not in (REFERENCE, NOISY) and reference and reference["noise"] and image["noise"]:
            ratio = image["noise"]["std_hu"] / max(reference["noise"]["std_hu"], 1e-6)
            if ratio < 0.5:
                yield (
                    f"{name} is less noisy than the reference ({image['noise']['std_hu']:.1f} against "
                    f"{reference['noise']['std_hu']:.1f} HU): its PSNR is bounded by the reference's own noise"
                )
    for name, removed in found["residual"].items():
        if removed["structure"] > 0.2 or removed["edges"] > 0.5:
            yield (
                f"{name}: what was removed looks like anatomy (correlation with structure {removed['structure']:.2f}, "
                f"with edges {removed['edges']:.2f})"
            )


def _finite(value: Any) -> Any:
    """Replace what JSON does not know, infinite and undefined numbers, by None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
