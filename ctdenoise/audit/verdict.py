"""The verdict of an audit: limits, and the reasons for not passing, as sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ctdenoise.audit.document import Reason, SliceAudit, Summary, Verdict

#: Slices that a reason names.
_MOST_NAMED = 8
#: Tissues whose mean HU decides; bone has too few pixels and too much contrast.
_BIAS_TISSUES = ("soft tissue", "fat", "lung")


@dataclass(frozen=True)
class Limit:
    """From which value on a measurement calls for caution, and from which on the audit fails."""

    caution: float
    fail: float

    def severity(self, value: float) -> Literal["caution", "fail"] | None:
        """Return what a value means; None if it is below both."""
        if value >= self.fail:
            return "fail"
        return "caution" if value >= self.caution else None


#: Structure that was removed or added anywhere, in units of what is usual in the slice.
STRUCTURE = Limit(11.0, 12.0)
#: Share of the contrast of fine structures that was removed or added: in the whole series, and in one slice.
EDGES, SLICE_EDGES = Limit(0.045, 0.055), Limit(0.08, 0.1)
#: Change of the mean of a tissue beyond three standard errors, HU: in the whole series, and in one slice.
BIAS, SLICE_BIAS = Limit(0.8, 1.0), Limit(1.5, 2.0)
#: Step along a row or column, in units of the usual.
SEAM = Limit(7.0, 8.0)
#: Standard deviation of what was changed over that of the noise.
REMOVED = Limit(1.1, 1.3)


def reasons(slices: Sequence[SliceAudit], summary: Summary) -> list[Reason]:
    """Return every reason for not passing, failures first."""
    if not slices:
        return [Reason(severity="caution", kind="not_measurable", text="No slice shows a body that could be audited.")]
    found = [*_of_slices(slices), *_of_series(summary)]
    return sorted(found, key=lambda reason: reason.severity != "fail")


def verdict(found: Sequence[Reason]) -> Verdict:
    """Return the verdict that reasons lead to."""
    severities = {reason.severity for reason in found}
    return "fail" if "fail" in severities else "caution" if severities else "pass"


def _of_slices(slices: Sequence[SliceAudit]) -> Iterator[Reason]:
    moved = [one for one in slices if one.belongs_to]
    if moved:
        text = "Derived slices resemble the source of a neighbouring slice more than their own."
        yield Reason(severity="fail", kind="slice_order", text=text, slices=_labels(moved))
    yield from _worst(
        slices,
        STRUCTURE,
        lambda one: one.removed.z,
        "structure_removed",
        lambda one: f"Structure of about {one.removed.diameter_mm:g} mm was removed or weakened ({_place(one, True)}).",
    )
    yield from _worst(
        slices,
        STRUCTURE,
        lambda one: one.added.z,
        "structure_added",
        lambda one: f"Structure of about {one.added.diameter_mm:g} mm was added or amplified ({_place(one, False)}).",
    )
    yield from _worst(
        slices,
        SEAM,
        lambda one: one.seam.z if one.seam else 0.0,
        "seam",
        lambda one: f"HU change abruptly, by {abs(one.seam.hu):.1f} HU, along {one.seam.line}." if one.seam else "",
    )
    for kind, sign, what in (("blurred", 1, "lost"), ("sharpened", -1, "gained")):
        yield from _worst(
            slices,
            SLICE_EDGES,
            lambda one, sign=sign: _edge_excess(one, sign),  # type: ignore[misc]
            kind,
            lambda one, sign=sign, what=what: (  # type: ignore[misc]
                f"Fine structures {what} {_edge_excess(one, sign):.0%} of their contrast or more in single slices."
            ),
        )
    yield from _worst(
        slices, SLICE_BIAS, _bias_excess, "hu_shift", lambda one: "The mean HU of a tissue changed in single slices."
    )


def _of_series(summary: Summary) -> Iterator[Reason]:
    for kind, sign, what in (("blurred", 1, "lost"), ("sharpened", -1, "gained")):
        changes = {name: sign * change.value for name, change in summary.edges.items()}
        worst = max(changes, key=changes.__getitem__, default=None)
        if worst is not None and (severity := EDGES.severity(changes[worst])):
            text = f"Fine structures ({worst}) {what} {changes[worst]:.1%} of their contrast."
            yield Reason(severity=severity, kind=kind, text=text)
    for tissue in _BIAS_TISSUES:
        bias = summary.bias.get(tissue)
        if bias and (severity := BIAS.severity(max(bias.low, -bias.high))):
            text = f"The mean of {tissue} changed by {bias.value:+.1f} HU [{bias.low:+.1f}, {bias.high:+.1f}]."
            yield Reason(severity=severity, kind="hu_shift", text=text.replace("-", "−"))
    share = summary.removed_share
    if share and (severity := REMOVED.severity(share.value)):
        text = f"What was changed is {share.value:.2f} times as strong as the noise of the source."
        yield Reason(severity=severity, kind="too_much_removed", text=text)


def _worst(
    slices: Sequence[SliceAudit],
    limit: Limit,
    value: Callable[[SliceAudit], float],
    kind: str,
    text: Callable[[SliceAudit], str],
) -> Iterator[Reason]:
    ranked = sorted(slices, key=value, reverse=True)
    severity = limit.severity(value(ranked[0]))
    if severity:
        beyond = [one for one in ranked if limit.severity(value(one)) == severity]
        yield Reason(severity=severity, kind=kind, text=text(ranked[0]), slices=_labels(beyond))


def _edge_excess(one: SliceAudit, sign: int) -> float:
    """Return the largest change of the contrast of structures in one direction, beyond three standard errors."""
    return max((sign * e.change - 3 * e.standard_error for e in one.edges.values()), default=0.0)


def _bias_excess(one: SliceAudit) -> float:
    found = (one.bias[tissue] for tissue in _BIAS_TISSUES if tissue in one.bias)
    return max((abs(bias.hu) - 4 * bias.standard_error for bias in found), default=0.0)


def _place(one: SliceAudit, removed: bool) -> str:
    spot = one.removed if removed else one.added
    where = f"row {spot.row}, column {spot.column}"
    return f"{where}, {spot.hu:+.0f} HU, z {spot.z:.0f}".replace("-", "−")


def _labels(slices: Iterable[SliceAudit]) -> list[str]:
    return [one.label for one in slices][:_MOST_NAMED]
