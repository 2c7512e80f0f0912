"""The audit in words: one sentence for the reader, one paragraph for a paper."""

from __future__ import annotations

from collections.abc import Sequence

from ctdenoise.audit.document import Audit, Interval, Reason

#: What each kind of reason means, in words.
KINDS = {
    "structure_removed": "structure was removed that noise does not explain",
    "structure_added": "structure was added that the source does not support",
    "blurred": "fine structures lost contrast",
    "sharpened": "fine structures gained contrast",
    "hu_shift": "mean HU changed",
    "seam": "there is a seam",
    "slice_order": "slices are out of order",
    "too_much_removed": "more was changed than there is noise",
    "not_measurable": "no slice could be audited",
}


def sentence(reasons: Sequence[Reason], slices: int) -> str:
    """Return the verdict in one sentence."""
    if not reasons:
        return f"Pass: in {_slices(slices)}, nothing was removed or added beyond what the noise of this scan explains."
    failed = any(reason.severity == "fail" for reason in reasons)
    decisive = [reason for reason in reasons if (reason.severity == "fail") == failed]
    what = list(dict.fromkeys(KINDS[reason.kind] for reason in decisive))
    return f"{'Fail' if failed else 'Caution'}: {', '.join(what)} ({_slices(slices)} audited)."


def paragraph(audit: Audit) -> str:
    """Return methods and results in one paragraph."""
    noise, summary = audit.noise, audit.summary
    spectrum = "with its measured power spectrum" if noise.spectrum_measured else "with an assumed power spectrum"
    parts = [
        f"The derived series was compared with its source by ctdenoise {audit.version} in "
        f"{_slices(len(audit.slices))}, without a reference.",
        f"Noise of the source ({noise.std_hu:.1f} HU in uniform soft tissue, mean frequency "
        f"{noise.mean_frequency_per_mm:.2f} per mm) was simulated {spectrum} and local strength to obtain the "
        "distribution of what the removal of noise alone would do.",
    ]
    if noise.derived_std_hu is not None:
        parts.append(f"In the same tissue, the derived series has {noise.derived_std_hu:.1f} HU.")
    if summary.removed_share:
        share = _of(summary.removed_share, 2)
        parts.append(
            f"What was changed amounts to {share} of the local noise's standard deviation (median over the body)."
        )
    if summary.edges:
        name = max(summary.edges, key=lambda key: abs(summary.edges[key].value))
        parts.append(f"Fine structures ({name}) lost {_of(summary.edges[name], 3)} of their contrast.")
    if soft := summary.bias.get("soft tissue"):
        parts.append(f"The mean of soft tissue changed by {_of(soft, 2)} HU.")
    if audit.slices:
        removed = max(one.removed.z for one in audit.slices)
        added = max(one.added.z for one in audit.slices)
        parts.append(f"The largest local differences had z = {removed:.1f} (removed) and {added:.1f} (added).")
    if audit.recommendation:
        parts.append(audit.recommendation.sentence)
    if audit.phantom:
        lesions = sum(audit.phantom.tasks[0].lesions.values())
        parts.append(
            f"In a virtual phantom, {lesions} lesions of each of {len(audit.phantom.tasks)} kinds were inserted into "
            f"{audit.phantom.slices} slices and denoised with {audit.phantom.model} at strength "
            f"{audit.phantom.strength:g}. {audit.phantom.dose.sentence}"
        )
    parts.append(f"Verdict: {audit.verdict}. Square brackets are 95 % intervals.")
    return " ".join(parts)


def _of(interval: Interval, digits: int) -> str:
    value, low, high = (f"{x:.{digits}f}".replace("-", "−") for x in (interval.value, interval.low, interval.high))
    return f"{value} [{low}, {high}]"


def _slices(count: int) -> str:
    return f"{count} slice" if count == 1 else f"{count} slices"
