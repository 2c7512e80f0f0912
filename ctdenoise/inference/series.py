"""The series runner: from a folder of DICOM files to folders of derived series with their manifests."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctdenoise.errors import InputError
from ctdenoise.inference.manifest import (
    MANIFEST,
    Journal,
    begin_manifest,
    read_manifest,
    write_manifest,
)
from ctdenoise.inference.options import RunOptions
from ctdenoise.inference.process import Process, ProcessFor, denoising
from ctdenoise.inference.report import REPORT, report_series
from ctdenoise.inference.results import FolderResult, Progress, SeriesResult
from ctdenoise.inference.stream import process_slices, read_sample
from ctdenoise.io.dicom import (
    Derivation,
    Series,
    discover,
)
from ctdenoise.io.dicom.archive import opened
from ctdenoise.io.dicom.classic import frame_uid
from ctdenoise.io.dicom.discover import Skipped, SliceFile, input_tree

if TYPE_CHECKING:
    from ctdenoise.inference.denoiser import Denoiser


def denoise_folder(
    denoiser: Denoiser,
    source: Path,
    output: Path,
    *,
    progress: Progress | None = None,
    options: RunOptions | None = None,
) -> FolderResult:
    """Denoise the CT series in `source`; see :func:`process_folder`."""
    options = options or RunOptions()
    return process_folder(denoising(denoiser, options.strength), source, output, progress=progress, options=options)


def process_folder(
    process_for: ProcessFor,
    source: Path,
    output: Path,
    *,
    options: RunOptions,
    progress: Progress | None = None,
) -> FolderResult:
    """Process the CT series in a file, folder tree, DICOMDIR or zip archive, each into a folder of its own.

    A run that was cut off goes on where it ended; one that is finished is left alone.

    Parameters
    ----------
    process_for
        Gives what is to be done to each series.
    source, output
        `output` must not be inside `source`.
    options
        Which series, and how to write them.
    progress
        Told how it goes on.

    Raises
    ------
    InputError
        If there is nothing to do, or `output` cannot be used.
    """
    source = input_tree(source)
    refuse_output_inside(source, output)
    with opened(source) as root:
        found = discover(root)
        chosen = [s for s in found.series if options.series in (None, s.uid, str(s.number))]
        if not chosen:
            raise _nothing_to_do(source, options.series, found.series, found.skipped)
        results, refused = [], []
        for one in chosen:
            try:
                process = process_for(partial(read_sample, one.slices), sum(file.frames for file in one.slices))
            except InputError as error:  # not to be done to this series
                path = one.slices[0].path
                if len(chosen) == 1:
                    raise InputError(error.problem, path=path, hint=error.hint) from error
                refused.append(Skipped(path, error.reason, failed=True))
                continue
            result = process_series(
                process, one, output, root=root, skipped=found.skipped, progress=progress, options=options
            )
            results.append(result)
            if options.report and (result.written or not (result.folder / REPORT).exists()):
                why = report_series(one, source, result.folder)
                refused += [why] if why else []
    return FolderResult(results, (*found.skipped, *refused))


def refuse_output_inside(source: Path, output: Path) -> None:
    """Raise InputError if `output` lies in the folder `source`."""
    if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"the output must not be inside the input, {source}", path=output, hint="choose another folder"
        )


def _nothing_to_do(
    source: Path, wanted: str | None, series: Sequence[Series], skipped: Sequence[Skipped]
) -> InputError:
    if series:
        names = ", ".join(f"{s.number} ({s.uid})" for s in series)
        return InputError(f"expected series {wanted}, found {names}", path=source)
    reasons = sorted({s.reason for s in skipped})
    shown = "; ".join(reasons[:3]) + ("; …" if len(reasons) > 3 else "")
    return InputError(
        f"found no CT slice among {len(skipped)} file(s): {shown}",
        path=source,
        hint="ctdenoise inspect tells the reason for each file",
    )


def process_series(
    process: Process,
    series: Series,
    output: Path,
    *,
    root: Path,
    options: RunOptions,
    skipped: Sequence[Skipped] = (),
    progress: Progress | None = None,
) -> SeriesResult:
    """Process one series into ``output/NUMBER-HASH``, one derived slice for each source slice.

    Parameters
    ----------
    root
        Files are named relative to it in the manifest.
    skipped
        Files beside the series, for the manifest.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    derivation = Derivation(
        name=process.name,
        identity=process.identity,
        done=process.done,
        summary=process.summary,
        series_offset=process.series_offset,
        time=datetime.now(),
        transfer_syntax=options.transfer_syntax,
        classic=options.classic,
        drop_private=options.drop_private,
        deidentify=options.deidentify,
    )
    # Numbers and a hash, no names: descriptions may hold what patients should not be known by.
    number = int(derivation.uid(series.uid + "/random" * options.random_uids)[5:]) % 16**8
    prefix = f"{process.series_offset + int(series.number or 0):04d}"
    folder = output / f"{prefix}-{number:08x}"
    journal = Journal(folder)
    earlier = read_manifest(folder / MANIFEST)
    names = _names(series, derivation)
    if not options.overwrite and earlier and _is_whole(folder, earlier, len(names)):
        return SeriesResult(folder, earlier, written=0)
    done = {} if options.overwrite else {r.source_uid: r for r in journal.read()}
    if options.random_uids:
        # Kept while a run lasts, so that it can go on; nothing leads from the finished series to its source.
        salt = earlier["derived"].get("salt") if done and earlier else None
        derivation = replace(derivation, salt=salt or secrets.token_hex(16))
        names = _names(series, derivation)
        done = done if salt else {}
    series_uid = derivation.uid(series.uid)
    done = {uid: record for uid, record in done.items() if names.get(uid) == record.file}
    if done and earlier:  # one series has one date, however often its run was cut off
        derivation = replace(derivation, time=datetime.fromisoformat(earlier["started"]))
    began, before = time.perf_counter(), len(done)
    manifest = begin_manifest(
        process.entry,
        process.device,
        source={
            "study_uid": derivation.pseudonym(series.study_uid),
            "series_uid": derivation.pseudonym(series.uid),
            "slices": len(names),
        },
        derived={"series_uid": str(series_uid), "transfer_syntax": options.transfer_syntax},
    )
    manifest["started"] = derivation.time.isoformat(timespec="seconds")
    if options.random_uids:
        manifest["derived"]["salt"] = derivation.salt
    manifest["beside"] = _others(folder, prefix, manifest["source"]["series_uid"])
    manifest["skipped"] = [{"file": _relative(s.path, root), "reason": s.reason} for s in skipped]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        journal.restart(done.values())
        if progress:
            progress.start(f"series {series.number}", len(names), len(done))
        missing = {uid: name for uid, name in names.items() if uid not in done}
        waiting = [f for f in series.slices if any(uid in missing for uid in _images(f, derivation))]
        write_manifest(folder / MANIFEST, manifest)
        try:
            with closing(process_slices(process, waiting, missing, folder, derivation, journal)) as outcomes:
                for error in outcomes:
                    if error:
                        file = _relative(error.path or root, root)
                        manifest["failed"].append({"file": file, "reason": error.reason})
                    if progress:
                        progress.advance()
            manifest["status"] = "incomplete" if manifest["failed"] else "complete"
        except BaseException:
            manifest["status"] = "interrupted"
            raise
        finally:
            done = {r.source_uid: r for r in journal.read()}
            order = [done[uid] for uid in names if uid in done]
            manifest["slices"] = [asdict(record) for record in order]
            manifest["clipped"] = sum(record.clipped for record in order)
            manifest["lossy"] = sum(record.lossy for record in order)
            manifest["batch_size"] = process.batch_size()
            manifest.update(process.ran())
            if manifest["status"] == "complete":
                manifest["derived"].pop("salt", None)
            manifest["seconds"] = round(time.perf_counter() - began, 3)
            write_manifest(folder / MANIFEST, manifest)
            journal.remove()
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror or error}",
            path=error.filename or folder,
            hint="free space or choose another folder; the same command then goes on where this one ended",
        ) from error
    return SeriesResult(folder, manifest, written=len(manifest["slices"]) - before)


def _is_whole(folder: Path, manifest: dict[str, Any], images: int) -> bool:
    """Whether a finished run's images are all there."""
    files = [record["file"] for record in manifest["slices"]]
    return manifest["status"] == "complete" and len(files) == images and all((folder / f).is_file() for f in files)


def _names(series: Series, derivation: Derivation) -> dict[str, str]:
    """File name of each derived image, by what stands for its source's SOPInstanceUID, in slice order."""
    uids = [uid for file in series.slices for uid in _images(file, derivation)]
    return {uid: f"{i:04d}.dcm" for i, uid in enumerate(uids, start=1)}


def _images(file: SliceFile, derivation: Derivation) -> list[str]:
    """What stands for the images that a file's derived ones come from: itself, or its frames."""
    if derivation.classic and file.enhanced:
        return [derivation.pseudonym(frame_uid(file.uid, frame)) for frame in range(1, file.frames + 1)]
    return [derivation.pseudonym(file.uid)]


def _others(folder: Path, prefix: str, series_uid: str) -> list[str]:
    """Other results of the same series beside `folder`: made by another model or with other options."""
    manifests = ((path.parent, read_manifest(path)) for path in folder.parent.glob(f"{prefix}-*/{MANIFEST}"))
    return sorted(
        other.name for other, m in manifests if m and other != folder and m["source"].get("series_uid") == series_uid
    )


def _relative(path: Path, root: Path) -> str:
    return path.name if path == root else path.relative_to(root).as_posix()
