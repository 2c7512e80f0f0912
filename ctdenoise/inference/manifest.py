"""The manifest: what a run did to each slice, written beside its results; ``docs/manifest.md`` has its JSON schema."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ctdenoise.files import write_whole
from ctdenoise.provenance import Provenance, as_json_types
from ctdenoise.version import __version__

MANIFEST = "manifest.json"
SCHEMA: Literal["ctdenoise-manifest-2"] = "ctdenoise-manifest-2"
#: Packages that take part in computing a result.
_PACKAGES = ("torch", "monai", "open_clip_torch", "pydicom", "numpy")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class SliceRecord(_Entry):
    """A slice that was written."""

    file: str = Field(description="Name in the output folder.")
    source_uid: str = Field(description="SOP Instance UID of the source, or its pseudonym; the index in a volume.")
    source_sha256: str = Field(description="SHA-256 of the source file, so that a changed source is noticed.")
    neighbours_sha256: list[str] = Field(
        default_factory=list,
        description="SHA-256 of the files of the neighbouring slices that were used, in order along the slice normal; "
        "empty strings where the slice itself stood in for one. Of operations with context only.",
    )
    derived_uid: str = Field(description="SOP Instance UID of the derived image; empty in a volume.")
    derived_bytes: int = Field(
        default=0, description="Size of the derived file, so that one that was cut off is noticed; 0 in a volume."
    )
    clipped: int = Field(description="Pixels saturated because the stored bits do not hold their value.")
    padding: int = Field(description="Pixels left alone because they show no anatomy.")
    seconds: float = Field(description="Duration of the operation.")
    lossy: bool = Field(default=False, description="Whether the source had been compressed with loss.")
    transfer_syntax: str = Field(default="", description="Transfer Syntax UID that was written.")
    syntax_replaced: bool = Field(
        default=False, description="Whether the source's transfer syntax was asked for and could not be kept."
    )


class FileNote(_Entry):
    """A file that was not processed."""

    file: str = Field(description="Name below the input, or its content hash with --deidentify.")
    reason: str = Field(description="Why, and what to do about it.")


class SourceEntry(_Entry):
    """What was processed."""

    kind: Literal["dicom", "volume", "photograph"]
    slices: int = Field(description="Slices, frames or planes.")
    study_uid: str = Field(default="", description="Study Instance UID or its pseudonym; DICOM only.")
    series_uid: str = Field(default="", description="Series Instance UID or its pseudonym; DICOM only.")
    file: str = Field(default="", description="Name of a volume or photograph.")
    sha256: str = Field(default="", description="Hash of a volume's or photograph's values and geometry.")


class DerivedEntry(_Entry):
    """What it became."""

    series_uid: str = Field(default="", description="Series Instance UID; DICOM only.")
    file: str = Field(default="", description="Name of a volume or photograph.")
    bytes: int = Field(default=0, description="Size of a volume's or photograph's file.")
    salt: str | None = Field(default=None, description="Of random UIDs while the run is unfinished.")


class OperationEntry(_Entry):
    """The operation with all parameters resolved; derived UIDs follow from it."""

    name: str
    version: str
    identity: str = Field(description="SHA-256 of name, version and parameters.")
    parameters: dict[str, Any] = Field(description="Everything that can change a result, and the environment.")
    measured: dict[str, Any] = Field(default_factory=dict, description="Values the parameters were derived from.")

    @classmethod
    def of(cls, provenance: Provenance, measured: dict[str, Any]) -> OperationEntry:
        """Make the entry for a provenance."""
        return cls(
            name=provenance.name,
            version=provenance.version,
            identity=provenance.identity,
            parameters=as_json_types(provenance.parameters),
            measured=measured,
        )


class AuditEntry(_Entry):
    """The audit of a result against its source, made after the run."""

    verdict: Literal["pass", "caution", "fail"]
    sentence: str = Field(description="The verdict in one sentence.")
    reasons: list[str] = Field(default_factory=list, description="Why it is not a pass, each with its severity.")
    slices: int = Field(description="Slices that were audited.")
    file: str = Field(description="Name of the audit's JSON document in the output folder.")


class TissueBounds(_Entry):
    """The error bounds of a tissue, told by the denoised HU."""

    pixels: int = Field(description="Pixels of the series that have a bound.")
    mean_hu: float = Field(description="Mean of the bounds in the series, HU.")
    noise_limits_hu: list[float] = Field(description="Local noise of the source at which the next group begins, HU.")
    factors: list[float] = Field(description="Bound over local noise, of each group of local noise.")
    coverage: float | None = Field(
        default=None,
        description="Share of pixels of simulated images of held-back slices of this series whose error against the "
        "simulated full-dose image was within the bound, at the dose where it is lowest; absent where there were too "
        "few pixels.",
    )
    coverage_noise_free: float | None = Field(
        default=None, description="The same against the anatomy without simulated noise."
    )


class ErrorBoundsEntry(_Entry):
    """Bounds on the error of each voxel, made after the run."""

    file: str = Field(description="Name in the output folder: a DICOM Parametric Map or a NIfTI volume, HU.")
    uid: str = Field(default="", description="SOP Instance UID of the Parametric Map.")
    level: float = Field(description="Share of voxels that the bounds hold for.")
    doses: list[float] = Field(
        description="Doses of the source relative to full dose that the bounds hold for: the expected one, and half."
    )
    photons: float = Field(description="Of the simulated scan that has the noise of the source.")
    calibration_slices: int
    held_back_slices: int
    tissues: dict[str, TissueBounds]
    sentence: str = Field(description="What the bounds say, and how often they held on held-back slices.")


class Manifest(_Entry):
    """A run: its input, operation, options and results."""

    schema_: Literal["ctdenoise-manifest-2"] = Field(default=SCHEMA, alias="schema")
    status: Literal["running", "complete", "incomplete", "interrupted"] = "running"
    started: datetime
    versions: dict[str, str]
    request: dict[str, Any] = Field(description="The operation's parameters and output options as asked for.")
    operation: OperationEntry
    run: dict[str, Any] = Field(default_factory=dict, description="How it ran: device, batch size.")
    source: SourceEntry
    derived: DerivedEntry
    beside: list[str] = Field(default_factory=list, description="Folders with other results of the same series.")
    skipped: list[FileNote] = Field(default_factory=list, description="Files that are no part of the series.")
    failed: list[FileNote] = Field(default_factory=list, description="Slices that could not be processed.")
    warnings: list[str] = Field(default_factory=list)
    slices: list[SliceRecord] = Field(default_factory=list, description="In order along the slice normal.")
    clipped: int = 0
    lossy: int = 0
    syntax_replaced: int = 0
    seconds: float = 0.0
    audit: AuditEntry | None = Field(default=None, description="With --audit only.")
    error_bounds: ErrorBoundsEntry | None = Field(default=None, description="With --save-error only.")

    @property
    def strength(self) -> float | None:
        """Strength of a denoising; None for another operation."""
        strength = self.operation.parameters.get("strength")
        return None if strength is None else float(strength)

    @property
    def engine(self) -> str | None:
        """Engine of a denoising; None for another operation."""
        engine = self.operation.parameters.get("environment", {}).get("engine")
        return None if engine is None else str(engine)

    def document(self) -> dict[str, Any]:
        """Return the manifest as JSON types."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def write(self, path: Path) -> None:
        """Write the manifest, whole or not at all."""
        write_whole(path, json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n")


def read_manifest(path: Path) -> Manifest | None:
    """Read a manifest; None if there is none, or it is damaged or of another version."""
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def software_versions() -> dict[str, str]:
    """Return the versions of the software that computes results."""
    return {
        "ctdenoise": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }
