"""The file runner: NIfTI, NRRD and MetaImage volumes slice by slice, photographs whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctdenoise.errors import InputError
from ctdenoise.inference.manifest import begin_manifest, read_manifest, write_manifest
from ctdenoise.inference.options import RunOptions
from ctdenoise.inference.process import Place, Process, ProcessFor, denoising
from ctdenoise.inference.report import report_file, report_path
from ctdenoise.inference.results import FolderResult, Progress, SeriesResult
from ctdenoise.inference.series import process_folder, refuse_output_inside
from ctdenoise.inference.strength import some_of
from ctdenoise.io.dicom.discover import Skipped
from ctdenoise.io.images import is_image, read_image
from ctdenoise.io.volumes import is_volume, read_volume

if TYPE_CHECKING:
    from ctdenoise.inference.denoiser import Denoiser


def denoise_path(
    denoiser: Denoiser,
    source: Path,
    output: Path,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> FolderResult:
    """Denoise whatever `source` is: a volume, photographs if the model is for them, or anything with DICOM in it.

    Parameters
    ----------
    progress
        Told how it goes on.
    options
        Fields of :class:`~ctdenoise.inference.options.RunOptions`.

    Raises
    ------
    InputError
        If there is nothing the model is for, or `output` cannot be used.
    """
    told = RunOptions(**options)
    if denoiser.hu_range is None or (is_image(source) and source.is_file()):
        return _denoise_images(denoiser, source, output, told, progress)
    return process_path(denoising(denoiser, told.strength), source, output, options=told, progress=progress)


def process_path(
    process_for: ProcessFor, source: Path, output: Path, *, options: RunOptions, progress: Progress | None = None
) -> FolderResult:
    """Process a volume, or anything with DICOM in it.

    Raises
    ------
    InputError
        If there is neither, or `output` cannot be used.
    """
    if is_volume(source) and not source.is_dir():
        result = _process_volume(process_for, source, output, options, progress)
        return FolderResult([result], _report(source, result, options))
    return process_folder(process_for, source, output, progress=progress, options=options)


def _denoise_images(
    denoiser: Denoiser, source: Path, output: Path, options: RunOptions, progress: Progress | None
) -> FolderResult:
    """Denoise a photograph, or all in a folder, into files of the same names in `output`, with manifests beside them.

    Raises
    ------
    InputError
        If there is none, or `output` cannot be used.
    """
    files = [p for p in sorted(source.rglob("*")) if p.is_file() and is_image(p)] if source.is_dir() else [source]
    if not files:
        raise InputError("expected PNG, TIFF, JPEG or BMP images, found none", path=source)
    refuse_output_inside(source, output)
    results: list[SeriesResult] = []
    skipped: list[Skipped] = []
    if progress:
        progress.start(source.name, len(files), 0)
    denoiser.expect(len(files))
    for file in files:
        folder = output / file.parent.relative_to(source) if source.is_dir() else output
        try:
            results.append(_denoise_image(denoiser, file, folder, options))
            skipped += _report(file, results[-1], options)
        except InputError as error:
            if len(files) == 1:
                raise
            skipped.append(Skipped(error.path or file, error.reason, failed=True))
        if progress:
            progress.advance()
    return FolderResult(results, tuple(skipped))


def _denoise_image(denoiser: Denoiser, source: Path, output: Path, options: RunOptions) -> SeriesResult:
    photograph = read_image(source)
    began = time.perf_counter()
    strength = 1.0 if options.strength is None else options.strength
    process = denoising(denoiser, strength)(lambda: ([], []), 1)
    manifest, earlier = _begin(process, source, output, options, 1)
    if earlier:
        return earlier
    clean = denoiser.denoise_image(photograph.values, strength=strength)
    manifest["slices"].append({"index": 0, "seconds": round(time.perf_counter() - began, 3)})
    return _finish(process, manifest, output / source.name, lambda target: photograph.write(clean, target), began)


def _report(source: Path, result: SeriesResult, options: RunOptions) -> tuple[Skipped, ...]:
    target = result.folder / source.name
    if not options.report or (report_path(target).exists() and not result.written):
        return ()
    why = report_file(source, target)
    return (why,) if why else ()


def _process_volume(
    process_for: ProcessFor, source: Path, output: Path, options: RunOptions, progress: Progress | None
) -> SeriesResult:
    """Process a volume into a file of the same name in the folder `output`, with ``NAME.manifest.json`` beside it.

    Raises
    ------
    InputError
        If the volume cannot be read or written, or `output` holds another file of its name.
    """
    volume = read_volume(source)
    began = time.perf_counter()
    places = [Place(str(index), volume.pixel_mm, volume.thickness_mm) for index in range(len(volume.hu))]
    process = process_for(lambda: (some_of(list(volume.hu)), some_of(places)), len(places))
    manifest, earlier = _begin(process, source, output, options, len(places))
    if earlier:
        return earlier
    if progress:
        progress.start(source.name, len(volume.hu), 0)
    clean = np.empty_like(volume.hu)
    for first in range(0, len(places), process.batch_size()):
        start = time.perf_counter()
        batch = range(first, min(len(places), first + process.batch_size()))
        clean[first : batch.stop] = process.apply(volume.hu[first : batch.stop], places[first : batch.stop])
        seconds = round((time.perf_counter() - start) / len(batch), 3)
        for index in batch:
            manifest["slices"].append({"index": index, "seconds": seconds})
            if progress:
                progress.advance()
    return _finish(process, manifest, output / source.name, lambda target: volume.write(clean, target), began)


def _begin(
    process: Process, source: Path, output: Path, options: RunOptions, slices: int
) -> tuple[dict[str, Any], SeriesResult | None]:
    """Return the manifest to fill, and the earlier result if this very work was done before; make the folder."""
    target = output / source.name
    manifest = begin_manifest(
        process.entry,
        process.device,
        source={"file": source.name, "slices": slices},
        derived={"file": target.name},
    )
    if target.exists() and not options.overwrite:
        earlier = read_manifest(_record(target))
        if earlier and all(earlier.get(key) == manifest[key] for key in (*process.entry, "source")):
            return manifest, SeriesResult(output, earlier, written=0)
        raise InputError("there is a file already", path=target, hint="choose another folder, or use --overwrite")
    if target.exists() and target.samefile(source):
        raise InputError("the output would replace the input", path=target, hint="choose another folder")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", path=error.filename or output) from error
    return manifest, None


def _finish(
    process: Process, manifest: dict[str, Any], target: Path, write: Callable[[Path], int], began: float
) -> SeriesResult:
    """Write the result and its manifest."""
    manifest["clipped"] = write(target)
    manifest.update(process.ran())
    manifest["status"] = "complete"
    manifest["seconds"] = round(time.perf_counter() - began, 3)
    try:
        write_manifest(_record(target), manifest)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", path=error.filename or target) from error
    return SeriesResult(target.parent, manifest, written=manifest["source"]["slices"])


def _record(target: Path) -> Path:
    return target.with_name(f"{target.name}.manifest.json")
