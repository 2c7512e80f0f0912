"""``--save-error``: error bounds of a run's results, calibrated with simulations of the series, written beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctdenoise.audit.bench import AtStrength
from ctdenoise.audit.error_bounds import TISSUES, tissue_of
from ctdenoise.audit.series_audit import DERIVED, SOURCE
from ctdenoise.audit.series_error import LEVEL, Calibration, calibrate_series
from ctdenoise.audit.windows import WindowReader
from ctdenoise.errors import InputError
from ctdenoise.evaluation.pairing import AlignedStacks, align
from ctdenoise.evaluation.stacks import open_stack, source_stack
from ctdenoise.inference.denoiser import Denoiser
from ctdenoise.inference.denoising import DenoisingRequest
from ctdenoise.inference.file_run import rewrite_manifest
from ctdenoise.inference.manifest import ErrorBoundsEntry, Manifest, TissueBounds
from ctdenoise.inference.results import Progress, SeriesResult
from ctdenoise.io.dicom import Series, read_slice
from ctdenoise.io.dicom.derive import derived_series_number
from ctdenoise.io.dicom.parametric_map import MapDescription, read_header, write_parametric_map
from ctdenoise.io.dicom.series import Skipped
from ctdenoise.io.volumes import read_volume, write_nifti_map
from ctdenoise.noise.measure import evenly_spread
from ctdenoise.provenance import json_sha256
from ctdenoise.version import __version__

Image = NDArray[np.float32]

#: Slices in which noise is simulated.
_SLICES = 9
_FILE, _VOLUME_FILE = "error-bounds.dcm", "error-bounds.nii.gz"
#: Added to the source's Series Number.
_SERIES_NUMBER_OFFSET = 4000


@dataclass(frozen=True)
class ErrorWriter:
    """Writes error bounds beside each result; see :class:`~ctdenoise.inference.results.ResultHandler`.

    Attributes
    ----------
    denoiser, progress
        Those of the run.
    """

    denoiser: Denoiser
    progress: Progress

    def __call__(self, result: SeriesResult, source: Series | Path, input_path: Path) -> list[Skipped]:
        """Write the bounds of a result that is new or has none, and record them in its manifest."""
        manifest = result.manifest
        name = manifest.derived.file
        path = result.folder / (f"{name}.{_VOLUME_FILE}" if name else _FILE)
        if manifest.source.kind == "photograph":
            return [Skipped(path, "no error bounds: a photograph, and they are for CT")]
        if manifest.error_bounds and path.exists() and not result.written:
            return []
        try:
            stack = source_stack(source, input_path)
            aligned = align({SOURCE: stack, DERIVED: open_stack(result.folder / name)})
            entry = self._write(aligned, source, manifest, path)
        except InputError as error:
            return [Skipped(path, f"no error bounds: {error.reason}", failed=True)]
        manifest.error_bounds = entry
        rewrite_manifest(result)
        return []

    def _write(self, aligned: AlignedStacks, source: Series | Path, manifest: Manifest, path: Path) -> ErrorBoundsEntry:
        pixel_mm = aligned.base.pixel_spacing_mm
        if pixel_mm is None:
            raise InputError("expected the pixel spacing, found none")
        chosen = evenly_spread(len(aligned), _SLICES)
        self.progress.start("error bounds", len(chosen) + len(aligned), 0)
        operation = DenoisingRequest(self.denoiser).restore(manifest.operation.parameters)
        windows = map(WindowReader(aligned, self.denoiser.context), chosen)
        calibration = calibrate_series(
            [(one[SOURCE], one[DERIVED]) for one in windows],
            AtStrength(operation.denoiser, operation.strength),
            pixel_mm=pixel_mm,
            thickness_mm=_thickness(source),
            advance=self.progress.advance,
        )
        values, tissues = self._bounds(aligned, calibration)
        uid = ""
        if isinstance(source, Series):
            uid = _write_dicom(path, values, aligned, _description(manifest, calibration, source.number))
        else:
            write_nifti_map(values, read_volume(source), path)
        return _entry(calibration, tissues, path.name, uid)

    def _bounds(self, aligned: AlignedStacks, calibration: Calibration) -> tuple[Image, dict[str, TissueBounds]]:
        """Return the bounds of all slices, ``[N, H, W]`` HU, and their means by tissue."""
        values = np.empty((len(aligned), *aligned.read(0)[SOURCE].shape), np.float32)
        pixels, sums = (np.zeros(len(TISSUES)) for _ in range(2))
        for index in range(len(aligned)):
            image = aligned.read(index)
            bound = calibration.bounds.bound(image[SOURCE], image[DERIVED])
            if bound.shape != values.shape[1:]:
                raise InputError("expected slices of one size for one map, found several")
            tissue = tissue_of(image[DERIVED])[bound > 0]
            pixels += np.bincount(tissue, minlength=len(TISSUES))
            sums += np.bincount(tissue, bound[bound > 0], minlength=len(TISSUES))
            values[index] = bound
            self.progress.advance()
        return values, _tissues(calibration, pixels, sums)


def _thickness(source: Series | Path) -> float | None:
    return (read_slice(source.slices[0].path) if isinstance(source, Series) else read_volume(source)).slice_thickness_mm


def _description(manifest: Manifest, calibration: Calibration, number: int | None) -> MapDescription:
    identity = [
        manifest.derived.series_uid,
        LEVEL,
        calibration.doses,
        calibration.scan.photons,
        calibration.bounds.limits,
        calibration.bounds.factors,
        __version__,
    ]
    return MapDescription(
        label=f"ERROR_BOUND_{LEVEL:.0%}".rstrip("%"),
        explanation=f"{LEVEL:.0%} bound on |denoised - full dose| in HU",
        name=f"{LEVEL:.0%} error bounds",
        identity=json_sha256(identity),
        series_number=derived_series_number(number, _SERIES_NUMBER_OFFSET),
        time=manifest.started.replace(tzinfo=None),
    )


def _write_dicom(path: Path, values: Image, aligned: AlignedStacks, description: MapDescription) -> str:
    derived = aligned.stacks[DERIVED]
    files = list(dict.fromkeys(derived.slices[match[DERIVED]].path for match in aligned.matches))
    if len(files) not in (1, len(values)):
        raise InputError("expected classic images or one enhanced image, found several enhanced ones")
    return write_parametric_map(path, values, [read_header(file) for file in files], description)


def _tissues(
    calibration: Calibration, pixels: NDArray[np.float64], sums: NDArray[np.float64]
) -> dict[str, TissueBounds]:
    bounds = calibration.bounds
    full_dose = [coverage.shares() for coverage in calibration.full_dose]
    noise_free = calibration.noise_free.shares()
    return {
        name: TissueBounds(
            pixels=int(pixels[index]),
            mean_hu=round(float(sums[index] / pixels[index]), 3),
            noise_limits_hu=[round(x, 4) for x in bounds.limits[name]],
            factors=[round(x, 4) for x in bounds.factors[name]],
            coverage=min((shares[name] for shares in full_dose if name in shares), default=None),
            coverage_noise_free=noise_free.get(name),
        )
        for index, name in enumerate(TISSUES)
        if pixels[index]
    }


def _entry(calibration: Calibration, tissues: dict[str, TissueBounds], file: str, uid: str) -> ErrorBoundsEntry:
    measured = [f"{name} {t.coverage:.1%}" for name, t in tissues.items() if t.coverage is not None]
    return ErrorBoundsEntry(
        file=file,
        uid=uid,
        level=LEVEL,
        doses=list(calibration.doses),
        photons=calibration.scan.photons,
        calibration_slices=calibration.used,
        held_back_slices=calibration.held_back,
        tissues=tissues,
        sentence=(
            f"In {LEVEL:.0%} of the voxels, |denoised − full dose| is at most the bound, if the dose of the source is "
            f"{calibration.doses[-1]:.0%} to {calibration.doses[0]:.0%} of full dose. Coverage in simulations of "
            f"{calibration.held_back} held-back slices of this series: {', '.join(measured) or 'not measured'}."
        ),
    )
