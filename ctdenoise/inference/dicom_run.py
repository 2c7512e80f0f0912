"""The runner for DICOM series: one derived slice for each source slice, in a folder with a manifest."""

from __future__ import annotations

import secrets
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from ctdenoise.errors import Help, InputError
from ctdenoise.inference.earlier_results import (
    SourceHashes,
    assign_names,
    is_changed,
    neighbours_changed,
    remove_results,
    remove_unrecorded,
)
from ctdenoise.inference.file_names import FileNames
from ctdenoise.inference.journal import Journal
from ctdenoise.inference.manifest import (
    MANIFEST,
    DerivedEntry,
    FileNote,
    Manifest,
    SliceRecord,
    SourceEntry,
    read_manifest,
    software_versions,
)
from ctdenoise.inference.operations import OperationRequest, SliceOperation
from ctdenoise.inference.options import RunOptions
from ctdenoise.inference.results import Progress, SeriesResult
from ctdenoise.inference.run import other_results, resolve_operation
from ctdenoise.inference.slice_pipeline import SlicePipeline, read_sample
from ctdenoise.io.dicom import Derivation, Series, SliceFile
from ctdenoise.io.dicom.classic import frame_uid
from ctdenoise.io.dicom.derivation import DicomOutput
from ctdenoise.io.dicom.derive import derived_series_number
from ctdenoise.io.dicom.series import Skipped
from ctdenoise.provenance import json_sha256


@dataclass
class DicomPlan:
    """What is left to do for a series.

    Attributes
    ----------
    operation, derivation
        With all parameters resolved.
    manifest
        Filled while the run lasts.
    names
        File name of each image of the series, by source UID or pseudonym, in order along the slice normal.
    kept
        Records of slices that are there already.
    files
        Source files that are left to process.
    """

    operation: SliceOperation
    derivation: Derivation
    manifest: Manifest
    names: dict[str, str]
    kept: dict[str, SliceRecord]
    files: list[SliceFile]
    began: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True)
class DicomRun:
    """Processes one series; see :class:`~ctdenoise.inference.run.Run`.

    Attributes
    ----------
    request, series, options
        What to do, to which series, and how to write it.
    output
        Gets a folder for the series.
    names
        How files are named in the manifest.
    skipped
        Files found beside the series, for the manifest.
    progress
        Receives progress and messages.
    """

    request: OperationRequest
    series: Series
    options: RunOptions
    output: Path
    names: FileNames
    skipped: tuple[Skipped, ...]
    progress: Progress

    @property
    def target(self) -> Path:
        """The output folder, named after the Series Number and a hash of source, request and options: no names."""
        digest = json_sha256([self._pseudonym(self.series.uid), self.asked])
        return self.output / f"{self._number_prefix}-{digest[:8]}"

    @cached_property
    def asked(self) -> dict[str, object]:
        """Operation and output options as asked for."""
        output = self.options.dicom_output().parameters
        return {"operation": dict(self.request.parameters), **output, "random_uids": self.options.random_uids}

    def plan(self) -> DicomPlan | SeriesResult:
        """Compare the series with earlier results and resolve the operation."""
        folder = self.target
        if self.options.overwrite:
            remove_results(folder)
        earlier = read_manifest(folder / MANIFEST)
        output = self._output(earlier)
        wanted = self._images(output)
        records = {record.source_uid: record for record in Journal(folder).read()} if earlier else {}
        kept, outdated = self._kept(records, wanted)
        left = [file for file in self.series.slices if any(uid not in kept for uid in self._uids(file, output))]
        if earlier and earlier.status == "complete":
            if not left:
                self._report_absent(wanted, kept)
                return SeriesResult(folder, earlier, written=0)
            if self.options.random_uids:
                return self._finished_at_random(earlier, len(wanted))
        continued = earlier if kept else None
        resolved = resolve_operation(
            self.request,
            lambda: read_sample(self.series.slices),
            continued,
            name=f"series {self.series.number}",
            progress=self.progress,
        )
        started = continued.started if continued else datetime.now().replace(microsecond=0)
        derivation = Derivation(provenance=resolved.operation.provenance, output=output, time=started)
        manifest = Manifest(
            started=started,
            versions=software_versions(),
            request=self.asked,
            operation=resolved.entry,
            source=SourceEntry(
                kind="dicom",
                slices=len({*wanted, *kept}),
                study_uid=derivation.pseudonym(self.series.study_uid),
                series_uid=derivation.pseudonym(self.series.uid),
            ),
            derived=DerivedEntry(series_uid=derivation.series_uid(self.series.uid), salt=output.salt or None),
            skipped=[FileNote(file=self.names.shown(s.path), reason=s.reason) for s in self.skipped],
            warnings=[*self.series.warnings, *resolved.warnings],
        )
        if continued:
            self._report_changes(continued, manifest, wanted, kept, outdated)
        return DicomPlan(resolved.operation, derivation, manifest, assign_names(list(wanted), kept), kept, left)

    def execute(self, plan: DicomPlan) -> None:
        """Process the slices that are left."""
        folder, journal = self.target, Journal(self.target)
        folder.mkdir(parents=True, exist_ok=True)
        remove_unrecorded(folder, {record.file for record in plan.kept.values()})
        journal.restart(plan.kept.values())
        plan.manifest.beside = self._beside(plan)
        plan.manifest.write(folder / MANIFEST)
        self.progress.start(
            f"series {self.series.number}", len(plan.names), sum(uid in plan.kept for uid in plan.names)
        )
        missing = {uid: name for uid, name in plan.names.items() if uid not in plan.kept}
        pipeline = SlicePipeline(plan.operation, plan.derivation, folder, missing, journal)
        with closing(pipeline.run(plan.files, self.series.slices)) as outcomes:
            for error in outcomes:
                if error:
                    file = self.names.shown(error.path or self.target)
                    plan.manifest.failed.append(FileNote(file=file, reason=error.reason))
                self.progress.advance()

    def record(self, plan: DicomPlan, status: str) -> SeriesResult:
        """Write the manifest from the journal."""
        folder, journal, manifest = self.target, Journal(self.target), plan.manifest
        records = {record.source_uid: record for record in journal.read()}
        order = [*plan.names, *(uid for uid in plan.kept if uid not in plan.names)]
        manifest.slices = [records[uid] for uid in order if uid in records]
        manifest.status = "incomplete" if manifest.failed and status == "complete" else status  # type: ignore[assignment]
        manifest.clipped = sum(record.clipped for record in manifest.slices)
        manifest.lossy = sum(record.lossy for record in manifest.slices)
        manifest.syntax_replaced = sum(record.syntax_replaced for record in manifest.slices)
        manifest.run = plan.operation.run_info()
        if manifest.status == "complete":
            self._forget_source(manifest)
        manifest.seconds = round(time.perf_counter() - plan.began, 3)
        manifest.write(folder / MANIFEST)
        journal.remove()
        return SeriesResult(folder, manifest, written=len(manifest.slices) - len(plan.kept))

    def _kept(
        self, records: dict[str, SliceRecord], wanted: dict[str, SliceFile]
    ) -> tuple[dict[str, SliceRecord], set[str]]:
        """Return the records that still hold, and the UIDs of those that do not because of their neighbours alone."""
        hashes = SourceHashes()
        kept = {uid: r for uid, r in records.items() if uid not in wanted or not is_changed(wanted[uid], r, hashes)}
        absent = {record.source_sha256 for uid, record in kept.items() if uid not in wanted}
        by_file = {wanted[uid].uid: record for uid, record in kept.items() if uid in wanted}
        files = neighbours_changed(self.series.slices, by_file, absent, hashes)
        outdated = {uid for uid in kept if uid in wanted and wanted[uid].uid in files}
        return {uid: record for uid, record in kept.items() if uid not in outdated}, outdated

    def _finished_at_random(self, earlier: Manifest, images: int) -> SeriesResult:
        """Return a finished run with random UIDs, which nothing leads back to its source from."""
        found = len(Journal(self.target).read())
        if found != images:
            raise InputError(
                f"expected the {images} slices of this series, found {found} with random UIDs",
                path=self.target,
                hint="use --overwrite, or choose another folder",
                see=Help.OTHER_RESULT,
            )
        return SeriesResult(self.target, earlier, written=0)

    def _output(self, earlier: Manifest | None) -> DicomOutput:
        if not self.options.random_uids:
            return self.options.dicom_output()
        # Kept while a run lasts, so that it can be continued.
        return self.options.dicom_output((earlier and earlier.derived.salt) or secrets.token_hex(16))

    def _images(self, output: DicomOutput) -> dict[str, SliceFile]:
        """Return the source file of each image to derive, by source UID or pseudonym, in slice order."""
        return {uid: file for file in self.series.slices for uid in self._uids(file, output)}

    def _uids(self, file: SliceFile, output: DicomOutput) -> list[str]:
        uids = [file.uid]
        if output.classic and file.enhanced:
            uids = [frame_uid(file.uid, frame) for frame in range(1, file.frames + 1)]
        return [output.pseudonym(uid) for uid in uids]

    def _pseudonym(self, uid: str) -> str:
        return self.options.dicom_output().pseudonym(uid)

    @property
    def _number_prefix(self) -> str:
        return f"{derived_series_number(self.series.number, self.request.series_number_offset):04d}"

    def _beside(self, plan: DicomPlan) -> list[str]:
        series_uid = plan.manifest.source.series_uid
        pattern = f"{self._number_prefix}-*/{MANIFEST}"
        return other_results(self.target, pattern, lambda other: other.source.series_uid == series_uid)

    def _report_changes(
        self,
        earlier: Manifest,
        manifest: Manifest,
        wanted: dict[str, SliceFile],
        kept: dict[str, SliceRecord],
        outdated: set[str],
    ) -> None:
        """Say what of the series changed since the run that is continued."""
        as_before = f"the parameters of that run ({self._parameters(earlier)}); --overwrite starts anew"
        added = manifest.source.slices - earlier.source.slices
        if added > 0:
            change = f"{added} slices were added since this series was begun and are processed with {as_before}"
            self.progress.message(f"{self.target}: {change}")
            manifest.warnings.append(change)
        gone = {uid for uid in wanted if uid not in kept and uid not in outdated}
        replaced = sum(record.source_uid in gone for record in earlier.slices)
        if replaced:
            change = (
                f"the source files of {replaced} slices changed, or their results are gone: they are processed again"
            )
            self.progress.message(f"{self.target}: {change}")
            manifest.warnings.append(change)
        if outdated:
            change = f"neighbours of {len(outdated)} slices were added, repaired or replaced: they are processed again"
            self.progress.message(f"{self.target}: {change}")
            manifest.warnings.append(change)
        manifest.warnings += self._report_absent(wanted, kept)

    def _report_absent(self, wanted: dict[str, SliceFile], kept: dict[str, SliceRecord]) -> list[str]:
        """Say how many slices of an earlier run are not in the input now."""
        absent = sum(uid not in wanted for uid in kept)
        if not absent:
            return []
        change = f"{absent} slices of an earlier run are not in this input; their results stay"
        self.progress.message(f"{self.target}: {change}")
        return [change]

    @staticmethod
    def _parameters(manifest: Manifest) -> str:
        if "strength" in manifest.operation.measured:
            return f"strength {manifest.strength:g}, measured on {manifest.source.slices} slices"
        return f"identity {manifest.operation.identity[:12]}"

    def _forget_source(self, manifest: Manifest) -> None:
        """Remove what leads from random UIDs to the source, once it is not needed to continue."""
        manifest.derived.salt = None
        if self.options.random_uids and self.options.deidentification:
            for record in manifest.slices:
                record.source_sha256 = ""
                record.neighbours_sha256 = []
