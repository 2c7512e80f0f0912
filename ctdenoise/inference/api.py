"""The entries for files: denoise, or apply any other operation to, whatever an input path holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ctdenoise.errors import Help, InputError
from ctdenoise.inference.denoiser import Denoiser
from ctdenoise.inference.denoising import DenoisingRequest, require_model_for
from ctdenoise.inference.dicom_run import DicomRun
from ctdenoise.inference.file_names import FileNames
from ctdenoise.inference.file_run import FileRun
from ctdenoise.inference.operations import OperationRequest
from ctdenoise.inference.options import RunOptions
from ctdenoise.inference.photograph_run import PhotographRun
from ctdenoise.inference.results import LoggedProgress, Progress, ResultHandler, RunResult, SeriesResult
from ctdenoise.inference.run import carry_out, failed_alone
from ctdenoise.inference.volume_run import VolumeRun
from ctdenoise.io.dicom import Series, discover
from ctdenoise.io.dicom.archive import opened
from ctdenoise.io.dicom.cautions import finished_here
from ctdenoise.io.dicom.discover import Examined, examine, input_tree
from ctdenoise.io.dicom.series import Skipped
from ctdenoise.io.folders import require_outside
from ctdenoise.io.images import find_images, is_image
from ctdenoise.io.volumes import find_volumes, is_volume
from ctdenoise.models.zoo import DEFAULT_MODEL


def denoise(
    source: str | Path,
    output: str | Path,
    *,
    model: str | Path | Denoiser = DEFAULT_MODEL,
    options: RunOptions | None = None,
    progress: Progress | None = None,
    on_result: ResultHandler | None = None,
) -> RunResult:
    """Denoise the DICOM series, volumes or photographs at a path into files of the same kind.

    A run that was cut off continues when called again; a finished one is left alone.

    Parameters
    ----------
    source
        A DICOM file, folder, zip archive or DICOMDIR; a NIfTI, NRRD or MetaImage volume or a folder of them; with a
        model for photographs, an image or a folder of images.
    output
        Folder for the results; not inside `source`.
    model
        Name of a model that ships, a folder with a ``model.json``, or a :class:`~ctdenoise.inference.Denoiser`, which
        also carries device and engine.
    options
        What to process and how to write it.
    progress
        Receives progress and messages; None logs them to the logger ``ctdenoise``.
    on_result
        Called with each result, e.g. :func:`ctdenoise.evaluation.run_report.write_run_report`.

    Raises
    ------
    InputError
        If nothing can be denoised, or `output` cannot be used.
    """
    source, output, options = Path(source), Path(output), options or RunOptions()
    denoiser = model if isinstance(model, Denoiser) else Denoiser.from_pretrained(model)
    if denoiser.hu_range is None or (is_image(source) and source.is_file()):
        require_model_for(denoiser, photographs=True, source=source)
        strength = 1.0 if options.strength is None else options.strength
        return _Job(DenoisingRequest(denoiser, strength), source, output, options, progress, on_result).photographs()
    request = DenoisingRequest(denoiser, options.strength)
    return apply_operation(request, source, output, options=options, progress=progress, on_result=on_result)


def apply_operation(
    request: OperationRequest,
    source: Path,
    output: Path,
    *,
    options: RunOptions | None = None,
    progress: Progress | None = None,
    on_result: ResultHandler | None = None,
) -> RunResult:
    """Apply an operation to the DICOM series and volumes at a path; parameters as those of :func:`denoise`.

    Raises
    ------
    InputError
        If there is nothing to process, or `output` cannot be used.
    """
    job = _Job(request, source, output, options or RunOptions(), progress, on_result)
    if is_volume(source) and source.is_file():
        return job.volumes([source])
    return job.folder()


@dataclass
class _Job:
    """One call: a request, a path, and what came of it so far."""

    request: OperationRequest
    source: Path
    output: Path
    options: RunOptions
    progress: Progress | None
    on_result: ResultHandler | None

    def __post_init__(self) -> None:
        self._progress: Progress = self.progress or LoggedProgress()
        self._results: list[SeriesResult] = []
        self._skipped: list[Skipped] = []
        require_outside(self.output, [input_tree(self.source)])
        if self.output.exists() and not self.output.is_dir():
            raise InputError(
                "expected a folder for the results, found a file",
                path=self.output,
                hint="choose another name",
                see=Help.CANNOT_WRITE,
            )

    def photographs(self) -> RunResult:
        """Process an image, or all images in a folder."""
        files = [self.source]
        if self.source.is_dir():
            files = find_images(self.source)
        if not (files and is_image(files[0])) and _holds_ct(self.source):
            raise InputError(
                "expected photographs, which this model is for, found CT",
                path=self.source,
                hint="name a model for CT, as --model ct-lowdose",
                see=Help.OTHER_KIND_OF_MODEL,
            )
        if not files:
            raise InputError("expected PNG, TIFF, JPEG or BMP images, found none", path=self.source)
        return self._files(files, PhotographRun)

    def volumes(self, files: Sequence[Path]) -> RunResult:
        """Process volumes."""
        return self._files(files, VolumeRun)

    def folder(self) -> RunResult:
        """Process the DICOM series and the volumes in a file, folder tree, DICOMDIR or zip archive."""
        tree = input_tree(self.source)
        volumes = find_volumes(tree) if tree.is_dir() else []
        with opened(tree) as files:
            found = discover(files)
            chosen, left = self._chosen(found.series)
            skipped = [self._note(s) for s in (*found.skipped, *left) if not (volumes and is_volume(s.path))]
            if not chosen and not volumes:
                raise _nothing_to_do(self.source, self.options.series, found.series, skipped)
            if self.options.deidentification:
                self.options.deidentification.check_patients(
                    [patient for series in chosen for patient in series.patients]
                )
            names = FileNames(files, self.options.deidentification)
            for series in chosen:
                self._series(series, names, tuple(skipped), only_one=len(chosen) + len(volumes) == 1)
        if volumes and chosen and (ignored := self.options.dicom_only()):
            reason = f"a volume, and {', '.join(ignored)} is for DICOM"
            self._skipped += [self._note(Skipped(file, reason)) for file in volumes]
        elif volumes:
            self._files(volumes, VolumeRun)
        return RunResult(self._results, (*skipped, *self._skipped))

    def _chosen(self, series: Sequence[Series]) -> tuple[list[Series], list[Skipped]]:
        """Return the series to process, and those that are left alone: results, unless they are asked for."""
        if self.options.series is not None:
            return [s for s in series if self.options.series in (s.uid, str(s.number))], []
        chosen, left = [], []
        for one in series:
            if reason := finished_here(one.warnings):
                number = "" if one.number is None else f" {one.number}"
                left.append(Skipped(one.slices[0].path, f"{reason}; --series{number} denoises them again"))
            else:
                chosen.append(one)
        return chosen, left

    def _series(self, series: Series, names: FileNames, skipped: tuple[Skipped, ...], *, only_one: bool) -> None:
        run = DicomRun(self.request, series, self.options, self.output, names, skipped, self._progress)
        for warning in series.warnings:
            self._progress.message(f"series {series.number}: {warning}")
        try:
            result = carry_out(run, self._progress)
        except InputError as error:
            self._skipped.append(self._note(failed_alone(error, series.slices[0].path, only_one=only_one)))
            return
        self._finish(result, series)

    def _files(self, files: Sequence[Path], kind: type[FileRun]) -> RunResult:
        if ignored := self.options.dicom_only():
            found = "a photograph" if kind is PhotographRun else "a volume"
            raise InputError(f"expected DICOM, which {', '.join(ignored)} is for, found {found}", path=files[0])
        base = self.source if self.source.is_dir() else self.source.parent
        for file in files:
            # Names of folders may be a patient's.
            folder = self.output if self.options.deidentification else self.output / file.parent.relative_to(base)
            run = kind(self.request, file, self.options, folder, self._progress)
            try:
                result = carry_out(run, self._progress)
            except InputError as error:
                self._skipped.append(self._note(failed_alone(error, file, only_one=len(files) == 1)))
                continue
            self._finish(result, file)
        return RunResult(self._results, tuple(self._skipped))

    def _note(self, skipped: Skipped) -> Skipped:
        """Return a note of a file under a name without a patient's, while the file can be read."""
        deidentification = self.options.deidentification
        return replace(skipped, name=deidentification.public_name(skipped.path)) if deidentification else skipped

    def _finish(self, result: SeriesResult, source: Series | Path) -> None:
        self._results.append(result)
        if self.on_result:
            self._skipped += self.on_result(result, source, self.source)


def _holds_ct(source: Path) -> bool:
    """Whether a path is or holds a CT slice or a volume; nothing is read after the first."""
    if is_volume(source) or (source.is_dir() and find_volumes(source)):
        return True
    with opened(input_tree(source)) as tree:
        return any(isinstance(examine(path, ""), Examined) for path in tree.files() if isinstance(path, Path))


def _nothing_to_do(
    source: Path, wanted: str | None, series: Sequence[Series], skipped: Sequence[Skipped]
) -> InputError:
    if series and wanted is not None:
        names = ", ".join(f"{s.number} ({s.uid})" for s in series)
        return InputError(f"expected series {wanted}, found {names}", path=source)
    reasons = sorted({s.reason for s in skipped})
    shown = "; ".join(reasons[:3]) + ("; …" if len(reasons) > 3 else "")
    return InputError(
        f"expected a CT slice, found none among {len(skipped)} files: {shown}",
        path=source,
        hint="ctdenoise inspect names the reason for each file",
        see=Help.NO_CT,
    )
