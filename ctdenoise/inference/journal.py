"""The journal of a run: a line for each slice that is done, so that an interrupted run can continue."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from ctdenoise.files import write_whole
from ctdenoise.inference.manifest import MANIFEST, SliceRecord, read_manifest

_JOURNAL = ".manifest.partial.jsonl"


class Journal:
    """Records of finished slices in an output folder.

    A record is added only after the slice's file has its final name; a file without a record is written again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / _JOURNAL

    def read(self) -> list[SliceRecord]:
        """Return the records, from the journal or else from the manifest, of slices whose files are there, whole."""
        if self._path.exists():
            records = self._lines()
        else:
            manifest = read_manifest(self._folder / MANIFEST)
            records = manifest.slices if manifest else []
        return [record for record in records if self._is_whole(record)]

    def _is_whole(self, record: SliceRecord) -> bool:
        try:
            return (self._folder / record.file).stat().st_size == record.derived_bytes
        except OSError:
            return False

    def _lines(self) -> list[SliceRecord]:
        records = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(SliceRecord.model_validate_json(line))
            except ValidationError:  # cut off while it was written
                continue
        return records

    def restart(self, records: Iterable[SliceRecord]) -> None:
        """Begin with these records and nothing else."""
        write_whole(self._path, "".join(record.model_dump_json() + "\n" for record in records))

    def add(self, record: SliceRecord) -> None:
        """Append a record."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(record.model_dump_json() + "\n")

    def remove(self) -> None:
        """Remove the journal, once the manifest holds its records."""
        self._path.unlink(missing_ok=True)
