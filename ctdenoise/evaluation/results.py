"""An evaluation as files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctdenoise.errors import InputError
from ctdenoise.evaluation.pairing import Aligned
from ctdenoise.evaluation.report import write_report
from ctdenoise.files import write_whole


def write_results(document: Mapping[str, Any], aligned: Aligned, folder: Path) -> None:
    """Write ``metrics.json``, ``metrics.csv`` (a line for each value) and ``report.html``.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    table = io.StringIO()
    lines = csv.writer(table)
    lines.writerow(("image", "window", "low", "high", "metric", "unit", "slice", "value"))
    for entry in document["fidelity"]:
        for slice_label, value in zip(document["slices"], entry["values"], strict=True):
            if value is not None:
                what = (entry[key] for key in ("image", "window", "low", "high", "metric", "unit"))
                lines.writerow((*what, slice_label, value))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "metrics.json", json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
        write_whole(folder / "metrics.csv", table.getvalue())
        write_report(document, aligned, folder / "report.html")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", path=error.filename or folder) from error
