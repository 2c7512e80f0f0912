"""One table of all results of a cohort."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ctdenoise.cohort.state import RECORD, STATE, Failure, SeriesRecord, read_entry
from ctdenoise.errors import Help, InputError
from ctdenoise.files import atomic_path


@dataclass(frozen=True)
class Row:
    """A series.

    Attributes
    ----------
    id, status
        Of the series: ``complete``, ``incomplete`` or ``failed``.
    folder
        Of the derived series, below the output folder.
    model, model_sha256, strength, engine
        As resolved for the series.
    noise_before_hu, noise_after_hu
        Noise in soft tissue, HU; None where there is none.
    slices, failed_slices
        That were written, and that could not be processed.
    clipped
        Values that the stored bits do not hold.
    seconds
        From the first slice read to the last one written.
    host, finished
        Where and when (UTC).
    warnings, problems
        Sentences, separated by ``"; "``.
    """

    id: str
    status: str
    folder: str = ""
    model: str = ""
    model_sha256: str = ""
    strength: float | None = None
    engine: str = ""
    noise_before_hu: float | None = None
    noise_after_hu: float | None = None
    slices: int = 0
    failed_slices: int = 0
    clipped: int = 0
    seconds: float | None = None
    host: str = ""
    finished: str = ""
    warnings: str = ""
    problems: str = ""


def rows(output: Path) -> Iterator[Row]:
    """Yield a row for each series that is finished or failed, in order of their ids."""
    found = {path.parent.name: path for path in output.glob(f"*/{RECORD}")}
    found |= {path.stem: path for path in output.glob(f"{STATE}/failed/*.json") if path.stem not in found}
    for name in sorted(found):
        if found[name].name == RECORD:
            if record := read_entry(found[name], SeriesRecord):
                yield _finished(output, record)
        elif failure := read_entry(found[name], Failure):
            yield Row(failure.id, "failed", finished=failure.time.isoformat(), problems=failure.reason)


def _finished(output: Path, record: SeriesRecord) -> Row:
    folder = Path(record.id, record.folder)
    path = output / folder / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
        parameters = manifest["operation"]["parameters"]
        return Row(
            id=record.id,
            status=record.status,
            folder=folder.as_posix(),
            model=parameters["model"]["name"],
            model_sha256=parameters["model"]["sha256"],
            strength=parameters["strength"],
            engine=parameters["environment"]["engine"],
            noise_before_hu=record.noise_before_hu,
            noise_after_hu=record.noise_after_hu,
            slices=record.slices,
            failed_slices=len(manifest["failed"]),
            clipped=manifest["clipped"],
            seconds=record.seconds,
            host=record.host,
            finished=record.finished.isoformat(),
            warnings="; ".join(manifest["warnings"]),
            problems="; ".join(record.problems),
        )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"expected a manifest, found none that can be read ({type(error).__name__})", path=path
        ) from error


def write_table(output: Path, table: Path) -> int:
    """Write the table as CSV, or as Parquet where its name ends so; return the number of rows.

    Raises
    ------
    InputError
        If there is no result, a manifest cannot be read, or pyarrow is missing for Parquet.
    OSError
        If the table cannot be written.
    """
    if not output.is_dir():
        raise InputError("expected the output folder of a cohort, found nothing there", path=output)
    write = _write_parquet if table.suffix.lower() == ".parquet" else _write_csv
    with atomic_path(table) as partial:
        count = write(rows(output), partial)
        if not count:
            raise InputError("expected results of a cohort, found none", path=output)
    return count


def _write_csv(found: Iterator[Row], path: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        for count, row in enumerate(found, start=1):  # noqa: B007
            writer.writerow(asdict(row))
    return count


def _write_parquet(found: Iterator[Row], path: Path) -> int:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(
            "Parquet needs pyarrow",
            hint="pip install 'ctdenoise[cohort]', or name a .csv file",
            see=Help.MISSING_PACKAGE,
        ) from None
    types = {"int": pyarrow.int64(), "float | None": pyarrow.float64(), "str": pyarrow.string()}
    schema = pyarrow.schema([(field.name, types[str(field.type)]) for field in fields(Row)])
    table = pyarrow.Table.from_pylist([asdict(row) for row in found], schema=schema)
    pyarrow.parquet.write_table(table, path)
    return int(table.num_rows)
