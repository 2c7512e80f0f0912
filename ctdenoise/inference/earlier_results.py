"""What an earlier run left in an output folder: which of it still holds, how it is named, how it is removed."""

from __future__ import annotations

from pathlib import Path

from ctdenoise.files import TEMPORARY, file_sha256
from ctdenoise.inference.journal import Journal
from ctdenoise.inference.manifest import MANIFEST, SliceRecord, read_manifest
from ctdenoise.io.dicom import SliceFile


def is_changed(file: SliceFile, record: SliceRecord) -> bool:
    """Whether a source file is not the one a record was made from."""
    try:
        return file_sha256(file.path) != record.source_sha256
    except OSError:
        return True


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
