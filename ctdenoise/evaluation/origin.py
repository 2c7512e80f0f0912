"""Where images come from: the scan, without anything about the patient, and the operation that made them."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

from pydicom import Dataset

from ctdenoise.evaluation.document import ImageInfo, Origin, Scan, Simulation
from ctdenoise.evaluation.stacks import Stack
from ctdenoise.files import file_sha256
from ctdenoise.inference.dose_reduction import DOSE_REDUCTION, simulated_doses
from ctdenoise.inference.manifest import MANIFEST, Manifest, read_manifest
from ctdenoise.io.dicom.read import read_dataset
from ctdenoise.io.dicom.terms import is_technical
from ctdenoise.noise.measure import evenly_spread

_TAGS = (
    "ConvolutionKernel",
    "DerivationDescription",
    "Exposure",
    "ExposureTime",
    "KVP",
    "Manufacturer",
    "ManufacturerModelName",
    "ReconstructionDiameter",
    "SeriesInstanceUID",
    "SliceThickness",
    "XRayTubeCurrent",
)
#: Most slices whose headers are read, as tube current is modulated.
_MOST_HEADERS = 16
#: Characters of a pseudonymous identifier.
_IDENTIFIER = 12


def image_info(stack: Stack) -> ImageInfo:
    """Return what the report says about an image beside its measurements.

    Raises
    ------
    InputError
        If a header cannot be read.
    """
    description = getattr(stack, "description", "")
    info = ImageInfo(kind=stack.kind, slices=len(stack.slices), description=description)
    if stack.kind == "volume":
        manifest = read_manifest(stack.path.with_name(f"{stack.path.name}.{MANIFEST}"))
        made = manifest is not None and manifest.derived.file == stack.path.name
        series = file_sha256(stack.path)[:_IDENTIFIER]
        return info.model_copy(update={"series": series, "origin": origin(manifest) if manifest and made else None})
    if stack.kind != "dicom":
        return info
    headers = [_header(stack.slices[index].path) for index in evenly_spread(len(stack.slices), _MOST_HEADERS)]
    uid = str(headers[0].get("SeriesInstanceUID", ""))
    manifest = read_manifest(stack.slices[0].path.parent / MANIFEST)
    made = manifest is not None and manifest.derived.series_uid == uid
    return info.model_copy(
        update={
            "series": hashlib.sha256(uid.encode()).hexdigest()[:_IDENTIFIER],
            "scan": scan_parameters(headers, stack.pixel_spacing_mm),
            "origin": origin(manifest) if manifest and made else None,
        }
    )


def scan_parameters(headers: list[Dataset], pixel_mm: float | None) -> Scan:
    """Return the parameters of a scan; texts only where they consist of technical terms."""
    first = headers[0]
    doses = simulated_doses(str(first.get("DerivationDescription") or ""))
    exposures = [mas for header in headers if (mas := _exposure_mas(header)) is not None]
    return Scan(
        manufacturer=_text(first, "Manufacturer"),
        model=_text(first, "ManufacturerModelName"),
        kernel=_text(first, "ConvolutionKernel"),
        kvp=_number(first, "KVP"),
        mas=(min(exposures), max(exposures)) if exposures else None,
        thickness_mm=_number(first, "SliceThickness"),
        pixel_mm=pixel_mm,
        field_mm=_number(first, "ReconstructionDiameter"),
        simulated_dose=math.prod(doses) if doses else None,
    )


def origin(manifest: Manifest) -> Origin:
    """Return what a manifest says about the making of a result."""
    parameters = manifest.operation.parameters
    asked: dict[str, Any] = manifest.request.get("operation", {})
    return Origin(
        name=manifest.operation.name,
        version=manifest.operation.version,
        sha256=str(parameters.get("model", {}).get("sha256", "")),
        strength=manifest.strength,
        strength_from=_strength_from(manifest, asked),
        engine=manifest.engine or "",
        command=_command(manifest, asked),
        date=manifest.started.date().isoformat(),
        software=dict(manifest.versions),
        simulation=_simulation(manifest, asked),
    )


def _simulation(manifest: Manifest, asked: dict[str, Any]) -> Simulation | None:
    parameters = manifest.operation.parameters
    if manifest.operation.name != DOSE_REDUCTION:
        return None
    return Simulation(
        dose=parameters["dose"],
        photons=parameters["scan"]["photons"],
        photons_measured=asked.get("photons") is None,
        seed=parameters["seed"],
    )


def _strength_from(manifest: Manifest, asked: dict[str, Any]) -> str:
    if manifest.strength is None:
        return ""
    if audited := manifest.operation.measured.get("audited"):
        return f"the highest whose audit passes, tried on {audited['slices']} slices"
    measured = manifest.operation.measured.get("strength")
    if asked.get("strength") != "auto" or not measured:
        return "as given"
    if measured["noise_hu"] is None:
        return "assumed, as there was no soft tissue to measure noise in"
    return (
        f"derived from noise of {measured['noise_hu']:g} HU above 0.15 cycles per mm in soft tissue (median of "
        f"{measured['slices']} slices), where {measured['full_dose_noise_hu']:g} HU are expected of a full-dose scan"
    )


def _command(manifest: Manifest, asked: dict[str, Any]) -> str:
    """Return the command of a denoising with placeholders for paths, which may name a patient."""
    if "model" not in asked:
        return ""
    words = ["ctdenoise run INPUT -o OUTPUT", f"--model {manifest.operation.name}", f"--strength {asked['strength']}"]
    words += [f"--{name} {asked[name]}" for name in ("engine", "device") if asked.get(name)]
    return " ".join([*words, *(["--full-field"] if asked.get("full_field") else [])])


def _header(path: Path) -> Dataset:
    return read_dataset(path, specific_tags=list(_TAGS), stop_before_pixels=True)


def _text(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    values = [str(one) for one in value] if isinstance(value, (list, tuple)) else [str(value or "")]
    return "\\".join(values) if all(is_technical(keyword, one) for one in values) else ""


def _number(header: Dataset, keyword: str) -> float | None:
    try:
        return float(header.get(keyword))
    except (TypeError, ValueError):
        return None


def _exposure_mas(header: Dataset) -> float | None:
    """Return tube current × exposure time; Exposure (0018,1152) only without them, as some scanners write it wrong."""
    current, time = _number(header, "XRayTubeCurrent"), _number(header, "ExposureTime")
    return round(current * time / 1000, 1) if current and time else _number(header, "Exposure")
