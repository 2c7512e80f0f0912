"""Numbers of the report, to the digits that their intervals allow, and tables of them."""

from __future__ import annotations

import base64
import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ctdenoise.evaluation.document import Evaluation
from ctdenoise.evaluation.physics_document import ImagePhysics, Physics

Interval = tuple[float | None, float | None] | None
#: Most decimals that are printed, and leading digits of an uncertainty up to which it has two (Particle Data Group).
_MOST_DECIMALS, _TWO_DIGITS = 5, 35


@dataclass(frozen=True)
class Quantity:
    """A measured value with its interval.

    Attributes
    ----------
    value, interval
        None where it was not measured, or cannot be resampled.
    signed
        Whether a plus is printed.
    at_least
        Whether the value is the limit of what the pixels can show, and the quantity that or more.
    """

    value: float | None
    interval: Interval = None
    signed: bool = False
    at_least: bool = False

    @property
    def text(self) -> str:
        """The value, to the digits that the interval allows; to three significant digits without one."""
        text = self._number(self.value)
        return f"≥ {text} (pixel limit)" if self.at_least else text

    @property
    def range(self) -> str:
        """The interval; empty without one."""
        return f"{self._number(self.interval[0])} … {self._number(self.interval[1])}" if self.interval else ""

    def _number(self, value: float | None) -> str:
        return number(value, self._decimals(), signed=self.signed)

    def _decimals(self) -> int:
        low, high = self.interval or (None, None)
        if low is None or high is None or high <= low:
            size = abs(self.value or 0.0)
            return min(max(0, 2 - math.floor(math.log10(size))), _MOST_DECIMALS) if size else 1
        half = (high - low) / 2
        place = math.floor(math.log10(half))
        two = half / 10.0 ** (place - 1) < _TWO_DIGITS
        return min(max(0, -place + two), _MOST_DECIMALS)


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes
    ----------
    columns
        Headings, without that of the first column, which names the image.
    rows
        Quantities of each image.
    """

    columns: Sequence[str]
    rows: dict[str, list[Quantity]]

    @property
    def csv(self) -> str:
        """The table as CSV in a data URL, with the ends of the intervals and all digits."""
        head = ["image", *(f"{name}{end}" for name in self.columns for end in ("", " low", " high"))]
        lines = [[image, *(_cells(cells))] for image, cells in self.rows.items()]
        return csv_url([head, *lines])


def _cells(cells: Iterable[Quantity]) -> Iterable[float | None]:
    for cell in cells:
        yield from (cell.value, *(cell.interval or (None, None)))


def number(value: float | None, decimals: int = 2, *, signed: bool = False) -> str:
    """Return a number with a minus sign, or a dash for None."""
    if value is None:
        return "–"
    text = f"{value:+.{decimals}f}" if signed else f"{value:.{decimals}f}"
    return text.replace("-", "−")


def csv_url(lines: Iterable[Iterable[object]]) -> str:
    """Return lines as CSV in a data URL."""
    text = io.StringIO()
    csv.writer(text).writerows(["" if one is None else one for one in line] for line in lines)
    return "data:text/csv;base64," + base64.b64encode(text.getvalue().encode()).decode()


def physics_table(physics: Physics) -> Table:
    """Return noise, resolution, d′ and contrast of each image."""
    unit = physics.frequency_unit
    columns = ["noise σ / HU", f"NPS peak / {unit}", f"NPS mean / {unit}", f"TTF50 / {unit}", f"TTF10 / {unit}", "d′"]
    columns.append("CNR soft tissue–fat")
    for index in range(1, len(physics.inserts) + 1):
        columns += [f"insert {index}: contrast / HU", f"insert {index}: CNR"]
    return Table(columns, {name: _physics_row(image) for name, image in physics.images.items()})


def _physics_row(image: ImagePhysics) -> list[Quantity]:
    noise, ttf = image.noise, image.ttf
    row = [Quantity(None)] * 3
    if noise:
        row = [
            Quantity(noise.std_hu, noise.std_ci95),
            Quantity(noise.peak_frequency, noise.peak_ci95),
            Quantity(noise.mean_frequency, noise.mean_ci95),
        ]
    falls = ((ttf.ttf50, ttf.ttf50_ci95), (ttf.ttf10, ttf.ttf10_ci95)) if ttf else ()
    row += [Quantity(at, ci95, at_least=ttf is not None and at == ttf.frequency[-1]) for at, ci95 in falls]
    row += [] if falls else [Quantity(None)] * 2
    row += [Quantity(image.d_prime, image.d_prime_ci95), Quantity(image.cnr_soft_tissue_fat, image.cnr_ci95)]
    for insert in image.inserts:
        row += [Quantity(insert.contrast_hu, insert.contrast_ci95), Quantity(insert.cnr, insert.cnr_ci95)]
    return row


def bias_table(physics: Physics) -> Table:
    """Return the HU bias of each tissue in each image but the one that biases are relative to."""
    tissues = list(physics.images[physics.measured_where].tissues)
    rows = {
        name: [
            Quantity(image.tissues[tissue].bias_hu, image.tissues[tissue].bias_ci95, signed=True) for tissue in tissues
        ]
        for name, image in physics.images.items()
        if name != physics.measured_where
    }
    return Table(tissues, rows)


def curve_tables(physics: Physics) -> dict[str, str]:
    """Return the curves as CSV in data URLs, by title: a column for each image."""
    noises = {name: image.noise for name, image in physics.images.items() if image.noise}
    transfers = {name: image.ttf for name, image in physics.images.items() if image.ttf}
    found = {}
    if noises:
        frequency = next(iter(noises.values())).frequency
        columns = [noise.nps for noise in noises.values()]
        found["noise power spectrum"] = csv_url(_columns(physics, frequency, noises, columns))
    if transfers:
        frequency = next(iter(transfers.values())).frequency
        values = [transfer.ttf for transfer in transfers.values()]
        found["task transfer function"] = csv_url(_columns(physics, frequency, transfers, values))
    return found


def _columns(
    physics: Physics, frequency: Sequence[float], names: Iterable[str], columns: Sequence[Sequence[float | None]]
) -> list[Sequence[object]]:
    head: Sequence[object] = [f"frequency {physics.frequency_unit}", *names]
    return [head, *zip(frequency, *columns, strict=True)]


def fidelity_csv(evaluation: Evaluation) -> str:
    """Return every value of the metrics as CSV in a data URL."""
    return csv_url(fidelity_lines(evaluation))


def fidelity_lines(evaluation: Evaluation) -> list[Sequence[object]]:
    """Return a line for each value of a metric, below the headings."""
    lines: list[Sequence[object]] = [("image", "window", "low", "high", "metric", "unit", "slice", "value")]
    for entry in evaluation.fidelity:
        what = (entry.image, entry.window, entry.low, entry.high, entry.metric, entry.unit)
        pairs = zip(evaluation.slices, entry.values, strict=True)
        lines += [(*what, label, value) for label, value in pairs if value is not None]
    return lines
