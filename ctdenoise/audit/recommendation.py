"""The highest strength at which the audit passes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ctdenoise.audit.document import Reason, Recommendation, SliceAudit
from ctdenoise.audit.series_audit import audit_slices, summarise
from ctdenoise.audit.slice_audit import SeriesNoise
from ctdenoise.audit.verdict import reasons
from ctdenoise.audit.wording import KINDS

Image = NDArray[np.float32]

#: Strengths that are tried, the highest first.
STRENGTHS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
#: Slices that are tried, evenly spread and those with the largest changes.
_SPREAD, _WORST = 4, 3


def recommend(
    slices: Sequence[tuple[str, Image, Image]],
    noise: SeriesNoise,
    *,
    strength: float | None = 1.0,
    passed: bool = True,
) -> Recommendation:
    """Find the highest strength that passes, by blending source and derived slices anew.

    Parameters
    ----------
    slices
        Label, ``[H, W]`` HU of the source, and of the derived image.
    noise
        Of the source series.
    strength
        That the derived slices were made with; None where it is unknown: the recommendation is then a share of what
        the tool changed.
    passed
        Whether the audit of all slices passes: what these do not show does not depend on the strength.
    """
    made_with = strength or 1.0
    refused: Sequence[Reason] = ()
    refused_at = None
    for tried in STRENGTHS:
        blended = [(label, source, _blend(source, derived, tried / made_with)) for label, source, derived in slices]
        # Slices are not neighbours here, so that their order cannot be judged.
        audited = [one.model_copy(update={"belongs_to": 0}) for one in audit_slices(blended, noise)]
        found = reasons(audited, summarise(audited))
        if not found:
            return Recommendation(
                strength=tried,
                of="strength" if strength else "share",
                slices=len(slices),
                sentence=_sentence(tried, strength is not None, refused, refused_at, passed=passed),
            )
        refused, refused_at = found, tried
    return Recommendation(
        strength=0.0,
        of="strength" if strength else "share",
        slices=len(slices),
        sentence="Keep the source: the audit passes at none of the strengths that were tried.",
    )


def chosen_indices(slices: Sequence[SliceAudit]) -> list[int]:
    """Return the indices of the slices that a recommendation is tried on, in order."""
    count = len(slices)
    worst = sorted(range(count), key=lambda i: -max(slices[i].removed.z, slices[i].added.z))[:_WORST]
    spread = np.linspace(0, count - 1, min(_SPREAD, count)).round().astype(int).tolist()
    return sorted({*worst, *spread})


def _blend(source: Image, derived: Image, share: float) -> Image:
    return source + np.float32(share) * (derived - source)


def _sentence(
    tried: float, of_strength: bool, refused: Sequence[Reason], refused_at: float | None, *, passed: bool
) -> str:
    if refused_at is None:
        if not passed:
            return "Less strength is no remedy: the slices that were tried pass at full strength."
        return "It passes at every strength up to 1." if of_strength else "This result passes at its full strength."
    why = ", ".join(dict.fromkeys(KINDS[reason.kind] for reason in refused))
    if of_strength:
        return f"Use at most strength {tried:g}: at {refused_at:g}, {why}."
    return f"Blend at most {tried * 100:.0f} % of this result with its source: at {refused_at * 100:.0f} %, {why}."
