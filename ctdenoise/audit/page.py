"""The audit as one HTML page: self-contained, printable, without names of patients or files."""

from __future__ import annotations

from pathlib import Path

from ctdenoise.audit.document import Audit
from ctdenoise.audit.figures import interval_chart, pictures, slice_curve
from ctdenoise.audit.slice_audit import SeriesNoise
from ctdenoise.audit.verdict import BIAS, EDGES, SEAM, STRUCTURE
from ctdenoise.evaluation.html import render_page
from ctdenoise.evaluation.pairing import AlignedStacks
from ctdenoise.evaluation.report_numbers import number
from ctdenoise.files import write_whole

PAGE = "audit.html"


def write_page(audit: Audit, aligned: AlignedStacks, noise: SeriesNoise, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises
    ------
    InputError
        If a slice cannot be read.
    OSError
        If the file cannot be written.
    """
    page = render_page(
        "ctdenoise.audit",
        PAGE,
        filters={"number": number},
        audit=audit,
        pictures=pictures(audit, aligned, noise),
        curve=slice_curve(audit),
        chart=interval_chart(audit),
        limits={"structure": STRUCTURE, "edges": EDGES, "bias": BIAS, "seam": SEAM},
        largest={
            "removed": max((one.removed.z for one in audit.slices), default=None),
            "added": max((one.added.z for one in audit.slices), default=None),
            "seam": max((one.seam.z for one in audit.slices if one.seam), default=None),
        },
    )
    write_whole(path, page)
