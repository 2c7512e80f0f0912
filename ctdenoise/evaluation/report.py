"""The evaluation as one HTML page: self-contained, printable, light and dark, without names of patients or files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ctdenoise.evaluation.document import Comparison, Evaluation, Fidelity
from ctdenoise.evaluation.figures import RESIDUAL_HU, svg_url
from ctdenoise.evaluation.html import render_page
from ctdenoise.evaluation.methods_text import methods, scan_text, simulation_text
from ctdenoise.evaluation.metrics import METRICS
from ctdenoise.evaluation.pairing import AlignedStacks
from ctdenoise.evaluation.report_curves import curve_drawings, image_colours, spectrum_drawing
from ctdenoise.evaluation.report_numbers import bias_table, curve_tables, fidelity_csv, number, physics_table
from ctdenoise.evaluation.report_pictures import picture_windows, slice_pictures
from ctdenoise.files import write_whole
from ctdenoise.inference.manifest import Manifest

#: Metrics whose differences between images the page lists; all are in ``metrics.json``.
_COMPARED = ("psnr", "ssim")


@dataclass(frozen=True)
class FidelityTable:
    """Metrics in one window: a row for each image, a column for each metric.

    Attributes
    ----------
    window, how
        Name of the window, and how was measured.
    rows
        For each image, its entries in the order of the columns.
    best
        For each metric, the image with the best mean; none where there is only one image.
    """

    window: str
    how: str
    rows: dict[str, list[Fidelity]]
    best: dict[str, str]


def write_report(evaluation: Evaluation, aligned: AlignedStacks, path: Path, *, made: Manifest | None = None) -> None:
    """Write an evaluation as an HTML page.

    Parameters
    ----------
    evaluation
        From :func:`~ctdenoise.evaluation.evaluate.evaluate`.
    aligned
        The images that were evaluated.
    path
        The file, which is written atomically.
    made
        Of the result that the report lies beside, whose audit and error bounds it shows.

    Raises
    ------
    InputError
        If a slice cannot be read.
    OSError
        If the file cannot be written.
    """
    windows, physics = picture_windows(evaluation, aligned), evaluation.physics
    text, references = methods(evaluation)
    page = render_page(
        "ctdenoise.evaluation",
        "report.html",
        filters={"number": number, "svg_url": svg_url, "scan_text": scan_text, "simulation_text": simulation_text},
        document=evaluation,
        physics=physics,
        tables=list(fidelity_tables(evaluation)),
        fidelity_csv=fidelity_csv(evaluation),
        compared=_compared(evaluation),
        windows=windows,
        pictures=slice_pictures(evaluation, aligned, windows),
        pixel_mm=aligned.base.pixel_spacing_mm,
        residual_hu=RESIDUAL_HU,
        drawings=curve_drawings(evaluation),
        curve_tables=curve_tables(physics) if physics else {},
        spectrum=spectrum_drawing(physics),
        colours=image_colours(evaluation.images),
        physics_table=physics_table(physics) if physics else None,
        bias_table=bias_table(physics) if physics else None,
        methods=text,
        references=references,
        made=made,
    )
    write_whole(path, page)


def fidelity_tables(evaluation: Evaluation) -> Iterator[FidelityTable]:
    """Yield a table for each window, in the order of the measurements."""
    for window, how in dict.fromkeys((entry.window, entry.how) for entry in evaluation.fidelity):
        entries = [entry for entry in evaluation.fidelity if entry.window == window]
        rows: dict[str, list[Fidelity]] = {}
        columns: dict[str, list[Fidelity]] = {}
        for entry in entries:
            rows.setdefault(entry.image, []).append(entry)
            columns.setdefault(entry.metric, []).append(entry)
        best = {metric: image for metric, column in columns.items() if (image := _best(metric, column))}
        yield FidelityTable(window, how, rows, best)


def _best(metric: str, column: list[Fidelity]) -> str | None:
    means = {entry.image: entry.mean for entry in column if entry.mean is not None}
    if len(means) < 2:
        return None
    return (max if METRICS[metric].higher_is_better else min)(means, key=means.__getitem__)


def _compared(evaluation: Evaluation) -> list[Comparison]:
    return [comparison for comparison in evaluation.comparisons if comparison.metric in _COMPARED]
