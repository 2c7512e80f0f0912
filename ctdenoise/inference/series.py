"""The series runner: from a folder of DICOM files to folders of derived series with their manifests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ctdenoise.errors import InputError
from ctdenoise.inference.manifest import (
    MANIFEST,
    Journal,
    begin_manifest,
    model_entry,
    read_manifest,
    write_manifest,
)
from ctdenoise.inference.stream import denoise_slices
from ctdenoise.io.dicom import (
    Derivation,
    Series,
    discover,
)
from ctdenoise.io.dicom.derive import SERIES_NUMBER_OFFSET
from ctdenoise.io.dicom.discover import Skipped

if TYPE_CHECKING:
    from ctdenoise.inference.denoiser import Denoiser


class Progress(Protocol):
    """Told how a run goes on."""

    def start(self, name: str, slices: int, done: int) -> None:
        """A series or volume begins, of which `done` slices are there already."""

    def advance(self) -> None:
        """A slice was written or refused."""


@dataclass(frozen=True)
class SeriesResult:
    """What came of one series.

    Attributes
    ----------
    folder
        Where the derived series and its manifest are.
    manifest
        Its content.
    written
        Slices written now; 0 if a finished run was started again.
    """

    folder: Path
    manifest: dict[str, Any]
    written: int


@dataclass(frozen=True)
class FolderResult:
    """What came of a whole input: the series, and the files that are not part of any."""

    results: list[SeriesResult]
    skipped: tuple[Skipped, ...]

    @property
    def failed(self) -> bool:
        """Whether something that should have been denoised was not."""
        return any(s.failed for s in self.skipped) or any(r.manifest["failed"] for r in self.results)


def denoise_folder(
    denoiser: Denoiser,
    source: Path,
    output: Path,
    *,
    strength: float = 1.0,
    overwrite: bool = False,
    series: str | None = None,
    progress: Progress | None = None,
) -> FolderResult:
    """Denoise the CT series in a file or folder tree, each into a folder of its own.

    A run that was cut off goes on where it ended; one that is finished is left alone.

    Parameters
    ----------
    denoiser
        With its model.
    source, output
        `output` must not be inside `source`.
    strength
        0…1, see :class:`~ctdenoise.inference.denoiser.Denoiser`.
    overwrite
        Write again what is there already.
    series
        A SeriesInstanceUID or SeriesNumber: only this one.
    progress
        Told how it goes on.

    Raises
    ------
    InputError
        If there is nothing to denoise, or `output` cannot be used.
    """
    found = discover(source)
    chosen = [s for s in found.series if series in (None, s.uid, str(s.number))]
    if not chosen:
        raise _nothing_to_do(source, series, found.series, found.skipped)
    if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"the output must not be inside the input, {source}", path=output, hint="choose another folder"
        )
    results = [
        denoise_series(
            denoiser,
            one,
            output,
            root=source,
            strength=strength,
            overwrite=overwrite,
            skipped=found.skipped,
            progress=progress,
        )
        for one in chosen
    ]
    return FolderResult(results, found.skipped)


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


def denoise_series(
    denoiser: Denoiser,
    series: Series,
    output: Path,
    *,
    root: Path,
    strength: float = 1.0,
    overwrite: bool = False,
    skipped: Sequence[Skipped] = (),
    progress: Progress | None = None,
) -> SeriesResult:
    """Denoise one series into ``output/NUMBER-HASH``, one derived slice for each source slice.

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
    model = model_entry(denoiser.description, denoiser.network)
    derivation = Derivation(model["name"], model["sha256"], strength, datetime.now())
    series_uid = derivation.uid(series.uid)
    # Numbers and a hash, no names: descriptions may hold what patients should not be known by.
    folder = output / f"{SERIES_NUMBER_OFFSET + int(series.number or 0):04d}-{int(series_uid[5:]) % 16**8:08x}"
    names = {s.uid: f"{i:04d}.dcm" for i, s in enumerate(series.slices, start=1)}
    journal = Journal(folder)
    earlier = read_manifest(folder / MANIFEST)
    done = {} if overwrite else {r.source_uid: r for r in journal.read() if names.get(r.source_uid) == r.file}
    if earlier and len(done) == len(names) and earlier["status"] == "complete":
        return SeriesResult(folder, earlier, written=0)
    began = time.perf_counter()
    manifest = begin_manifest(
        model,
        strength,
        str(denoiser.device),
        source={"study_uid": series.study_uid, "series_uid": series.uid, "slices": len(series.slices)},
        derived={"series_uid": str(series_uid)},
    )
    manifest["skipped"] = [{"file": _relative(s.path, root), "reason": s.reason} for s in skipped]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        journal.restart(done.values())
        if progress:
            progress.start(f"series {series.number}", len(series.slices), len(done))
        waiting = [s for s in series.slices if s.uid not in done]
        write_manifest(folder / MANIFEST, manifest)
        try:
            with closing(denoise_slices(denoiser, waiting, names, folder, derivation, journal)) as outcomes:
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
            order = [done[s.uid] for s in series.slices if s.uid in done]
            manifest["slices"] = [asdict(record) for record in order]
            manifest["clipped"] = sum(record.clipped for record in order)
            manifest["seconds"] = round(time.perf_counter() - began, 3)
            write_manifest(folder / MANIFEST, manifest)
            journal.remove()
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror or error}",
            path=error.filename or folder,
            hint="free space or choose another folder; the same command then goes on where this one ended",
        ) from error
    return SeriesResult(folder, manifest, written=len(waiting) - len(manifest["failed"]))


def _relative(path: Path, root: Path) -> str:
    return path.name if path == root else path.relative_to(root).as_posix()
