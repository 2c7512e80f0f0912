"""What an earlier run left in an output folder: which of it still holds, how it is named, how it is removed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ctdenoise.files import TEMPORARY, file_sha256
from ctdenoise.inference.journal import Journal
from ctdenoise.inference.manifest import MANIFEST, SliceRecord, read_manifest
from ctdenoise.inference.slice_context import file_neighbours
from ctdenoise.io.dicom import SliceFile


class SourceHashes:
    """SHA-256 of source files, each of which is read once."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def of(self, file: SliceFile) -> str:
        """Return the SHA-256 of a file; "" if it cannot be read."""
        if file.path not in self._known:
            try:
                self._known[file.path] = file_sha256(file.path)
            except OSError:
                self._known[file.path] = ""
        return self._known[file.path]


def is_changed(file: SliceFile, record: SliceRecord, hashes: SourceHashes) -> bool:
    """Whether a source file is not the one a record was made from."""
    return not record.source_sha256 or hashes.of(file) != record.source_sha256


def neighbours_changed(
    files: Sequence[SliceFile], records: Mapping[str, SliceRecord], absent: Collection[str], hashes: SourceHashes
) -> set[str]:
    """Find slices whose results a run of today would compute from other neighbours.

    Parameters
    ----------
    files
        The series, in order along the slice normal.
    records
        Of slices whose own files have not changed, by the SOP Instance UID of the file.
    absent
        SHA-256 of files that are not in the input now. Slices that had them as neighbours stay as they are: an
        undisturbed run had these neighbours, too.
    hashes
        Of the files.

    Returns
    -------
    set of str
        UIDs of those whose neighbours were added, repaired or replaced since, or are none any more as slices in between
        were added.
    """
    context = max((len(record.neighbours_sha256) for record in records.values()), default=0) // 2
    if not context:
        return set()
    changed = set()
    for index, row in enumerate(file_neighbours(files, context).tolist()):
        record = records.get(files[index].uid)
        if record is None:
            continue
        others = row[:context] + row[context + 1 :]
        today = ["" if other == index else hashes.of(files[other]) for other in others]
        pairs = zip(today, record.neighbours_sha256, strict=True)
        if any(now != then and then not in absent for now, then in pairs):
            changed.add(files[index].uid)
    return changed


def assign_names(uids: list[str], kept: dict[str, SliceRecord]) -> dict[str, str]:
    """Name the file of each image by its place in the series; recorded images keep the names they have.

    A slice whose place is taken, as where slices were added later, gets the next free number.
    """
    taken = {record.file for record in kept.values()}
    names, last = {}, len(uids)
    for position, uid in enumerate(uids, start=1):
        if uid in kept:
            names[uid] = kept[uid].file
            continue
        name = f"{position:04d}.dcm"
        while name in taken:
            last += 1
            name = f"{last:04d}.dcm"
        taken.add(name)
        names[uid] = name
    return names


def remove_results(folder: Path) -> None:
    """Remove what an earlier run wrote into a folder, and nothing else."""
    manifest = read_manifest(folder / MANIFEST)
    for record in {r.file: r for r in [*Journal(folder).read(), *(manifest.slices if manifest else [])]}.values():
        (folder / record.file).unlink(missing_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    Journal(folder).remove()


def remove_unrecorded(folder: Path, recorded: set[str]) -> None:
    """Remove slices and temporary files without a record, which a killed process left; needs the folder's lock."""
    for path in [*folder.glob(f"{TEMPORARY}*"), *folder.glob("[0-9]*.dcm")]:
        if path.name not in recorded:
            path.unlink(missing_ok=True)
