"""What the runners for volumes and for photographs share; a manifest stands beside each result."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctdenoise.errors import Help, InputError
from ctdenoise.inference.file_names import FileNames
from ctdenoise.inference.manifest import (
    MANIFEST,
    DerivedEntry,
    Manifest,
    SourceEntry,
    read_manifest,
    software_versions,
)
from ctdenoise.inference.operations import OperationRequest, SeriesSample, SliceOperation
from ctdenoise.inference.options import RunOptions
from ctdenoise.inference.results import Progress, SeriesResult
from ctdenoise.inference.run import resolve_operation
from ctdenoise.io.dicom.archive import OpenedInput
from ctdenoise.io.images import SUFFIXES as IMAGE_SUFFIXES
from ctdenoise.io.volumes import SUFFIXES as VOLUME_SUFFIXES
from ctdenoise.provenance import as_json_types


@dataclass
class FilePlan:
    """What is to be done to one file.

    Attributes
    ----------
    source
        As it was read.
    operation
        With all parameters resolved.
    manifest
        Filled while the run lasts.
    """

    source: Any
    operation: SliceOperation
    manifest: Manifest
    began: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True)
class FileRun(ABC):
    """Processes one file into a file of the same kind; see :class:`~ctdenoise.inference.run.Run`.

    Attributes
    ----------
    request, source, options
        What to do, to which file, and how.
    folder
        Output folder.
    progress
        Receives progress and messages.
    """

    request: OperationRequest
    source: Path
    options: RunOptions
    folder: Path
    progress: Progress

    @cached_property
    def content(self) -> Any:
        """The source as it was read."""
        return self.read()

    @cached_property
    def target(self) -> Path:
        """The derived file: named as the source, or by its content with de-identification."""
        if not self.options.deidentification:
            return self.folder / self.source.name
        # Of the content: the header of a volume in two files may be that of another volume, too.
        digest = self.content.content_sha256()
        return self.folder / f"sha256-{digest[:12]}{known_suffix(self.source)}"

    @property
    def asked(self) -> dict[str, object]:
        """Operation and options as asked for."""
        deidentification = self.options.deidentification
        identity = deidentification and deidentification.identity
        asked: dict[str, object] = as_json_types(
            {"operation": dict(self.request.parameters), "deidentification": identity}
        )
        return asked

    def plan(self) -> FilePlan | SeriesResult:
        """Read the source, compare it with the source of an earlier result, and resolve the operation."""
        source = self.content
        entry = SourceEntry(
            kind=self.kind, slices=self.slices(source), file=self.shown_name(), sha256=source.content_sha256()
        )
        earlier = read_manifest(manifest_path(self.target))
        if self.target.exists():
            if self.target.resolve() == self.source.resolve():
                raise InputError("the output would replace the input", path=self.target, hint="choose another folder")
            if not self.options.overwrite:
                return self._accept_earlier(earlier, entry)
        resolved = resolve_operation(
            self.request, lambda: self.sample(source), None, name=self.shown_name(), progress=self.progress
        )
        manifest = Manifest(
            started=datetime.now().replace(microsecond=0),
            versions=software_versions(),
            request=self.asked,
            operation=resolved.entry,
            source=entry,
            derived=DerivedEntry(file=self.target.name),
            warnings=resolved.warnings,
        )
        return FilePlan(source, resolved.operation, manifest)

    def execute(self, plan: FilePlan) -> None:
        """Process the file and write the result."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.progress.start(self.shown_name(), plan.manifest.source.slices, 0)
        source = plan.source.without_identity() if self.options.deidentification else plan.source
        plan.manifest.clipped = source.write(self.process(plan), self.target)

    def record(self, plan: FilePlan, status: str) -> SeriesResult:
        """Write the manifest of a finished run; an interrupted one leaves nothing behind."""
        manifest = plan.manifest
        if status == "complete":
            manifest.status = "complete"
            manifest.run = plan.operation.run_info()
            manifest.derived.bytes = self.target.stat().st_size
            manifest.seconds = round(time.perf_counter() - plan.began, 3)
            manifest.write(manifest_path(self.target))
        return SeriesResult(self.folder, manifest, written=len(manifest.slices))

    def shown_name(self) -> str:
        """Return the source's name for manifest and messages."""
        return FileNames(OpenedInput(self.source), self.options.deidentification).shown(self.source)

    def _accept_earlier(self, earlier: Manifest | None, source: SourceEntry) -> SeriesResult:
        """Return the earlier result if it was made from this very content by this very request."""
        if earlier and earlier.status == "complete" and earlier.source == source and earlier.request == self.asked:
            if earlier.derived.bytes == self.target.stat().st_size:
                return SeriesResult(self.folder, earlier, written=0)
            what = "whose size changed since it was written"
        else:
            what = "of another input or other options" if earlier else "that ctdenoise did not make"
        raise InputError(
            f"expected no file or the result of this input and these options, found a file {what}",
            path=self.target,
            hint="choose another folder, or use --overwrite",
            see=Help.OTHER_RESULT,
        )

    @property
    @abstractmethod
    def kind(self) -> Any:
        """Kind of the source in the manifest."""

    @abstractmethod
    def read(self) -> Any:
        """Read the source."""

    @abstractmethod
    def slices(self, source: Any) -> int:
        """Return the number of slices."""

    @abstractmethod
    def sample(self, source: Any) -> SeriesSample:
        """Return slices to measure parameters in."""

    @abstractmethod
    def process(self, plan: FilePlan) -> NDArray[np.float32]:
        """Return the processed values, and record each slice."""


def known_suffix(path: Path) -> str:
    """Return the part of a name that says its format; any other part may be a patient's name."""
    known = sorted((*VOLUME_SUFFIXES, *IMAGE_SUFFIXES), key=len, reverse=True)
    return next((suffix for suffix in known if path.name.lower().endswith(suffix)), "")


def manifest_path(target: Path) -> Path:
    """Return where the manifest of a derived file is."""
    return target.with_name(f"{target.name}.manifest.json")


def rewrite_manifest(result: SeriesResult) -> None:
    """Write the manifest of a result again, after something was added to it."""
    name = result.manifest.derived.file
    result.manifest.write(manifest_path(result.folder / name) if name else result.folder / MANIFEST)
