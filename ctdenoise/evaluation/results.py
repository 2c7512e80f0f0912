"""Files of an evaluation: JSON, CSV and the report."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from ctdenoise.errors import Help, InputError
from ctdenoise.evaluation.document import Evaluation
from ctdenoise.evaluation.pairing import AlignedStacks
from ctdenoise.evaluation.report import write_report
from ctdenoise.evaluation.report_numbers import fidelity_lines
from ctdenoise.files import write_whole


def write_results(evaluation: Evaluation, aligned: AlignedStacks, folder: Path) -> None:
    """Write ``metrics.json``, ``metrics.csv`` (a line for each fidelity value) and ``report.html``.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    document = json.dumps(evaluation.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "metrics.json", document)
        write_whole(folder / "metrics.csv", _table(evaluation))
        write_report(evaluation, aligned, folder / "report.html")
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror or error}", path=error.filename or folder, see=Help.CANNOT_WRITE
        ) from error


def _table(evaluation: Evaluation) -> str:
    table = io.StringIO()
    csv.writer(table).writerows(fidelity_lines(evaluation))
    return table.getvalue()
