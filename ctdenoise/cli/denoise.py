"""``ctdenoise run``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctdenoise.cli.common import EngineName, JsonOption, interrupted, print_outcome, show_progress
from ctdenoise.cli.dicomweb import FromOption, StudyOption, ToOption, check_usage, input_folder, store_results
from ctdenoise.cli.run_handlers import RunHandlers
from ctdenoise.errors import InputError
from ctdenoise.io.transfer_syntax import TransferSyntax

if TYPE_CHECKING:
    from ctdenoise.inference import Denoiser, RunOptions
    from ctdenoise.inference.results import Progress, ResultHandler, RunResult
    from ctdenoise.io.dicom.deidentify import Deidentification

_MODEL, _OUTPUT, _DICOM, _SPEED = "Model", "Output", "DICOM", "Speed"

ModelOption = Annotated[
    str, typer.Option(help="Name of a model that ships, or a model folder.", rich_help_panel=_MODEL)
]
DeviceOption = Annotated[
    str, typer.Option(help="Compute device: auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=_SPEED)
]
EngineOption = Annotated[
    EngineName,
    typer.Option(help="How the network is computed: same results, other speeds.", rich_help_panel=_SPEED),
]

AUTO_ENGINE = EngineName("auto")


def run(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.", rich_help_panel=_OUTPUT)],
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="INPUT",
            help="DICOM file, folder, zip or DICOMDIR; NIfTI, NRRD or MetaImage volume; photographs. "
            "Needed unless --from is given.",
        ),
    ] = None,
    model: ModelOption = "ct-lowdose",
    strength: Annotated[
        str,
        typer.Option(
            help="From 0 (source) to 1 (network output); auto leaves about the noise of a full-dose scan; audited is "
            "the highest whose audit passes.",
            rich_help_panel=_MODEL,
        ),
    ] = "auto",
    full_field: Annotated[
        bool,
        typer.Option(
            "--full-field",
            help="Denoise the air around the body too; HU in the body change by less than 0.05.",
            rich_help_panel=_MODEL,
        ),
    ] = False,
    report: Annotated[
        bool,
        typer.Option("--report/--no-report", help="Write report.html with each result.", rich_help_panel=_OUTPUT),
    ] = False,
    audit: Annotated[
        bool,
        typer.Option(
            "--audit",
            help="Audit each result: audit.html, audit.json, the verdict in the manifest.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    save_residual: Annotated[
        bool,
        typer.Option(
            "--save-residual",
            help="Also write what was removed, as a derived series of its own.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    save_error: Annotated[
        bool,
        typer.Option(
            "--save-error",
            help="Also write a bound on the error of each voxel: a DICOM Parametric Map, or NIfTI.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Remove earlier results and start anew.", rich_help_panel=_OUTPUT),
    ] = False,
    as_json: JsonOption = False,
    series: Annotated[
        str | None,
        typer.Option(help="Only this SeriesNumber or SeriesInstanceUID.", rich_help_panel=_DICOM),
    ] = None,
    transfer_syntax: Annotated[
        TransferSyntax,
        typer.Option(help="Encoding of derived files; all are lossless.", rich_help_panel=_DICOM),
    ] = TransferSyntax.EXPLICIT,
    classic: Annotated[
        bool,
        typer.Option("--classic", help="Write enhanced CT as classic slices.", rich_help_panel=_DICOM),
    ] = False,
    drop_private: Annotated[
        bool, typer.Option("--drop-private", help="Leave private elements out.", rich_help_panel=_DICOM)
    ] = False,
    random_uids: Annotated[
        bool,
        typer.Option(
            "--random-uids", help="Draw new UIDs; by default a repeated run gives equal ones.", rich_help_panel=_DICOM
        ),
    ] = False,
    deidentify: Annotated[
        bool,
        typer.Option("--deidentify", help="Apply the basic profile of PS3.15 annex E.", rich_help_panel=_DICOM),
    ] = False,
    patient_id: Annotated[
        str | None, typer.Option(help="With --deidentify: the new PatientID.", rich_help_panel=_DICOM)
    ] = None,
    patient_name: Annotated[
        str | None, typer.Option(help="With --deidentify: the new PatientName.", rich_help_panel=_DICOM)
    ] = None,
    pseudonym_key: Annotated[
        str | None,
        typer.Option(
            envvar="CTDENOISE_PSEUDONYM_KEY",
            help="With --deidentify: secret that gives one patient one pseudonym over all studies.",
            rich_help_panel=_DICOM,
        ),
    ] = None,
    shift_dates: Annotated[
        bool,
        typer.Option(
            "--shift-dates",
            help="With --deidentify: move dates by a number of days for each patient, in place of removing them.",
            rich_help_panel=_DICOM,
        ),
    ] = False,
    from_service: FromOption = None,
    study: StudyOption = None,
    to_service: ToOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = AUTO_ENGINE,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Slices in the network at once; 16 on a GPU, else 1.", rich_help_panel=_SPEED),
    ] = None,
) -> None:
    """Denoise the CT series, volumes or photographs in INPUT into files of the same kind.

    A run that was cut off continues when it is started again.
    """
    check_usage(source, from_service, study, to_service)
    deidentification = _deidentification(
        deidentify,
        patient_id=patient_id,
        patient_name=patient_name,
        key=pseudonym_key,
        shift_dates=shift_dates,
    )
    audited = strength == "audited"
    chosen_strength = None if audited else parse_strength(strength, words="auto, audited")
    if save_residual and random_uids:
        raise typer.BadParameter("--save-residual: cannot be used with --random-uids, which leave nothing to match by")
    from ctdenoise.inference import RunOptions, denoise

    options = RunOptions(
        strength=chosen_strength,
        overwrite=overwrite,
        series=series,
        transfer_syntax=transfer_syntax.value,
        classic=classic,
        drop_private=drop_private,
        deidentification=deidentification,
        random_uids=random_uids,
    )
    denoiser = load_denoiser(model, device=device, engine=engine.value, batch_size=batch_size, full_field=full_field)
    try:
        with (
            show_progress(as_json) as progress,
            input_folder(source, from_service, study, series, progress) as folder,
        ):
            handlers = RunHandlers()
            if save_residual:
                handlers.save_residual(output, options, progress)
            if save_error:
                handlers.save_error(denoiser, progress)
            if audit:
                handlers.audit()
            if report:
                handlers.report()
            do = _denoise_audited if audited else denoise
            outcome = do(folder, output, model=denoiser, options=options, progress=progress, on_result=handlers)
    except InputError as error:
        raise _without_names(error, output, deidentification) from None
    except KeyboardInterrupt:
        raise interrupted() from None
    outcome = replace(outcome, results=[*outcome.results, *handlers.residuals])
    stored = store_results(outcome, to_service) if to_service else None
    raise print_outcome(outcome, as_json, stored, report=report)


def _denoise_audited(
    source: Path,
    output: Path,
    *,
    model: Denoiser,
    options: RunOptions,
    progress: Progress,
    on_result: ResultHandler,
) -> RunResult:
    """Denoise with the highest strength whose audit passes."""
    from ctdenoise.audit.audited_strength import AuditedDenoisingRequest
    from ctdenoise.inference import apply_operation
    from ctdenoise.inference.denoising import require_model_for

    require_model_for(model, photographs=False)
    request = AuditedDenoisingRequest(model)
    return apply_operation(request, source, output, options=options, progress=progress, on_result=on_result)


def parse_strength(text: str, *, words: str = "auto") -> float | None:
    """Return a strength from 0 to 1, or None for auto; anything else is a usage error that names `words`."""
    try:
        value = None if text == "auto" else float(text)
    except ValueError:
        value = -1.0
    if value is not None and not 0 <= value <= 1:
        raise typer.BadParameter(f"--strength: expected {words} or a number from 0 to 1, found {text}")
    return value


def load_denoiser(
    model: str,
    *,
    device: str = "auto",
    engine: str = "auto",
    batch_size: int | None = None,
    full_field: bool = False,
) -> Denoiser:
    """Configure torch for this process and load a model."""
    from ctdenoise.cli.process import configure_torch
    from ctdenoise.inference import Denoiser

    configure_torch()
    return Denoiser.from_pretrained(model, device=device, engine=engine, batch_size=batch_size, full_field=full_field)


def _deidentification(
    deidentify: bool, *, patient_id: str | None, patient_name: str | None, key: str | None, shift_dates: bool
) -> Deidentification | None:
    given = {
        "--patient-id": patient_id is not None,
        "--patient-name": patient_name is not None,
        "--shift-dates": shift_dates,
    }
    if not deidentify:
        alone = [name for name, is_set in given.items() if is_set]
        if alone:
            raise typer.BadParameter(f"{', '.join(alone)}: expected --deidentify with it, found none")
        return None
    from ctdenoise.io.dicom.deidentify import Deidentification

    return Deidentification(patient_id=patient_id, patient_name=patient_name, key=key, shift_dates=shift_dates)


def _without_names(error: InputError, output: Path, deidentification: Deidentification | None) -> InputError:
    """Return an error that shows no name of an input file or folder, which may be a patient's."""
    path = error.path
    if deidentification is None or path is None or path == output or path.is_relative_to(output):
        return error
    shown = deidentification.public_name(path) if path.is_file() else "INPUT"
    return error.at(shown)
