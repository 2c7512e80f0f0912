"""``ctdenoise simulate``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ctdenoise.cli.common import JsonOption, interrupted, print_outcome, show_progress


class KernelName(StrEnum):
    """Choices of ``--kernel``."""

    RAMP = "ramp"
    SHEPP_LOGAN = "shepp-logan"
    COSINE = "cosine"
    HAMMING = "hamming"
    HANN = "hann"
    SMOOTH = "smooth"
    SHARP = "sharp"


def simulate(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="DICOM file, folder, zip; NIfTI, NRRD, MHA.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")],
    dose: Annotated[float, typer.Option(help="Dose of the result relative to INPUT's: above 0, below 1.")],
    photons: Annotated[
        float | None,
        typer.Option(
            help="Incident photons for each ray of INPUT's scan; by default those that make its measured noise."
        ),
    ] = None,
    electronic: Annotated[
        float, typer.Option(min=0.0, help="Standard deviation of the electronic noise, photons.")
    ] = 10.0,
    kernel: Annotated[
        KernelName | None,
        typer.Option(help="Reconstruction kernel; by default the one whose noise is measured in INPUT."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    series: Annotated[str | None, typer.Option(help="Only this SeriesNumber or SeriesInstanceUID.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Remove earlier results and start anew.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate a lower dose: insert noise into the projections of the CT series or volume in INPUT.

    A run that was cut off continues when it is started again.
    """
    if photons is not None and not photons > 0:
        raise typer.BadParameter(f"--photons: expected a positive number, found {photons}")
    from ctdenoise.inference import RunOptions, apply_operation
    from ctdenoise.inference.dose_reduction import DoseReductionRequest
    from ctdenoise.noise.lowdose import KERNELS

    try:
        request = DoseReductionRequest(
            dose=dose,
            photons=photons,
            electronic=electronic,
            kernel=KERNELS[kernel.value] if kernel else None,
            seed=seed,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        with show_progress(as_json) as progress:
            options = RunOptions(series=series, overwrite=overwrite)
            outcome = apply_operation(request, source, output, options=options, progress=progress)
    except KeyboardInterrupt:
        raise interrupted() from None
    raise print_outcome(outcome, as_json)
