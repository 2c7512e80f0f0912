"""Makes the plan of a cohort from the headers of its files."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctdenoise.cohort.plan import PlannedModel, PlannedOptions, PlannedSeries
from ctdenoise.cohort.scan import Scan, ScannedFile, SkippedFiles
from ctdenoise.errors import Help, InputError
from ctdenoise.files import atomic_path
from ctdenoise.io.dicom.discover import input_tree
from ctdenoise.models.zoo import describe, model_folder


@dataclass(frozen=True)
class Planned:
    """What a plan holds.

    Attributes
    ----------
    series, slices, bytes
        How many, and the size of all files.
    skipped
        Files that are no part of a series.
    """

    series: int
    slices: int
    bytes: int
    skipped: list[SkippedFiles]


def planned_model(name_or_path: str) -> PlannedModel:
    """Return what identifies a model, for the plan.

    Raises
    ------
    InputError
        If there is no such model, or it is one for photographs.
    """
    description = describe(name_or_path)
    if description.hu_range is None:
        raise InputError(
            f"{name_or_path}: expected a model for CT, found one for photographs", hint="see ctdenoise models list"
        )
    folder = model_folder(name_or_path)
    is_path = folder == Path(name_or_path)
    return PlannedModel(source=str(folder.absolute()) if is_path else name_or_path, sha256=description.sha256)


def write_plan(
    sources: Sequence[Path],
    path: Path,
    *,
    model: PlannedModel,
    options: PlannedOptions,
    processes: int,
    initialise: Callable[[], None] | None = None,
    advance: Callable[[int], None] = lambda files: None,
) -> Planned:
    """Find the series in some inputs and write the plan; a call that was cut off goes on when made again.

    Parameters
    ----------
    sources
        Folders, files or DICOMDIRs.
    path
        The plan; replaced if it exists.
    model, options
        For all series.
    processes, initialise, advance
        See :meth:`~ctdenoise.cohort.scan.Scan.add`.

    Raises
    ------
    InputError
        If an input does not exist or cannot be used, or there is no series in any.
    OSError
        If the plan cannot be written.
    """
    roots = [_root(source) for source in sources]
    path.parent.mkdir(parents=True, exist_ok=True)
    scan = Scan(path.with_name(f".{path.name}.scanned"))
    for root in roots:
        scan.add(root, processes=processes, initialise=initialise, advance=advance)
    series = slices = size = 0
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8") as file:
        for files in scan.series():
            planned = _planned(files, model, options)
            file.write(planned.line())
            series, slices, size = series + 1, slices + planned.slices, size + planned.bytes
        skipped = scan.skipped()
        if not series:
            raise _nothing_found(sources, skipped)
    scan.finish()
    return Planned(series, slices, size, skipped)


def _root(source: Path) -> Path:
    if not source.exists():
        raise InputError("expected a folder or a DICOM file, found nothing there", path=source, see=Help.NOTHING_THERE)
    if source.is_file() and zipfile.is_zipfile(source):
        raise InputError("expected a folder or a DICOM file, found a zip archive", path=source, hint="unpack it first")
    return input_tree(source).absolute()


def _planned(files: list[tuple[str, ScannedFile]], model: PlannedModel, options: PlannedOptions) -> PlannedSeries:
    roots = {os.path.dirname(root) if root == file.path else root for root, file in files}  # noqa: PTH120
    root = os.path.commonpath(roots)
    digest = hashlib.sha256(f"{model.sha256}\n{options.model_dump_json()}\n".encode())
    for _, file in files:
        digest.update(f"{file.instance} {file.size}\n".encode())
    first = files[0][1]
    return PlannedSeries(
        id=digest.hexdigest()[:16],
        root=root,
        files=sorted(os.path.relpath(file.path, root) for _, file in files),
        slices=sum(file.frames for _, file in files),
        rows=first.rows,
        columns=first.columns,
        bytes=sum(file.size for _, file in files),
        model=model,
        options=options,
    )


def _nothing_found(sources: Sequence[Path], skipped: Sequence[SkippedFiles]) -> InputError:
    reasons = "; ".join(entry.reason for entry in skipped[:3]) or "no files"
    found = sum(entry.count for entry in skipped)
    return InputError(
        f"expected a CT slice, found none among {found} files: {reasons}", path=sources[0], see=Help.NO_CT
    )
