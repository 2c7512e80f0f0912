"""The volume runner: NIfTI, NRRD and MetaImage, slice by slice along the last axis."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ctdenoise.errors import InputError
from ctdenoise.inference.manifest import begin_manifest, model_entry, read_manifest, write_manifest
from ctdenoise.inference.series import FolderResult, Progress, SeriesResult, denoise_folder
from ctdenoise.io.volumes import is_volume, read_volume

if TYPE_CHECKING:
    from ctdenoise.inference.denoiser import Denoiser


def denoise_path(
    denoiser: Denoiser,
    source: Path,
    output: Path,
    *,
    strength: float = 1.0,
    overwrite: bool = False,
    series: str | None = None,
    progress: Progress | None = None,
) -> FolderResult:
    """Denoise whatever `source` is: a volume, or anything with DICOM in it; see the two runners."""
    if is_volume(source) and not source.is_dir():
        result = denoise_volume(denoiser, source, output, strength=strength, overwrite=overwrite, progress=progress)
        return FolderResult([result], ())
    return denoise_folder(
        denoiser, source, output, strength=strength, overwrite=overwrite, series=series, progress=progress
    )


def denoise_volume(
    denoiser: Denoiser,
    source: Path,
    output: Path,
    *,
    strength: float = 1.0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> SeriesResult:
    """Denoise a volume into a file of the same name in the folder `output`, with ``NAME.manifest.json`` beside it.

    Raises
    ------
    InputError
        If the volume cannot be read or written, or `output` holds another file of its name.
    """
    volume = read_volume(source)
    target = output / source.name
    record = output / f"{source.name}.manifest.json"
    manifest = begin_manifest(
        model_entry(denoiser.description, denoiser.network),
        strength,
        str(denoiser.device),
        source={"file": source.name, "slices": len(volume.hu)},
        derived={"file": target.name},
    )
    if target.exists() and not overwrite:
        earlier = read_manifest(record)
        if earlier and all(earlier[key] == manifest[key] for key in ("model", "strength", "source")):
            return SeriesResult(output, earlier, written=0)
        raise InputError("there is a file already", path=target, hint="choose another folder, or use --overwrite")
    if target.exists() and target.samefile(source):
        raise InputError("the output would replace the input", path=target, hint="choose another folder")
    began = time.perf_counter()
    if progress:
        progress.start(source.name, len(volume.hu), 0)
    try:
        output.mkdir(parents=True, exist_ok=True)
        clean = np.empty_like(volume.hu)
        for index, image in enumerate(volume.hu):
            start = time.perf_counter()
            clean[index] = denoiser(image, strength=strength)
            manifest["slices"].append({"index": index, "seconds": round(time.perf_counter() - start, 3)})
            if progress:
                progress.advance()
        manifest["clipped"] = volume.write(clean, target)
        manifest["status"] = "complete"
        manifest["seconds"] = round(time.perf_counter() - began, 3)
        write_manifest(record, manifest)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", path=error.filename or output) from error
    return SeriesResult(output, manifest, written=len(clean))
