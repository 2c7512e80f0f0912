"""``ctdenoise simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ctdenoise.cli.common import JsonOption, interrupted, say_outcome, show_progress


def simulate(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="DICOM file, folder, zip; NIfTI, NRRD, MHA.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Gets a folder for each series.")],
    dose: Annotated[float, typer.Option(help="Of the result, relative to INPUT's: above 0, below 1.")],
    photons: Annotated[
        float | None,
        typer.Option(help="Of INPUT's scan: N0 for each ray; else as many as make the noise measured in INPUT."),
    ] = None,
    electronic: Annotated[float, typer.Option(min=0.0, help="Electronic noise, in photons.")] = 10.0,
    kernel: Annotated[
        str | None,
        typer.Option(
            help="ramp, shepp-logan, cosine, hamming, hann, smooth, sharp; else the one whose noise is like INPUT's."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another noise.")] = 0,
    series: Annotated[str | None, typer.Option(help="Only this SeriesNumber or SeriesInstanceUID.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write again what is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate a lower dose: insert noise into the projections of the CT series or volume in INPUT.

    A run that was cut off goes on when started again.
    """
    from ctdenoise.inference import RunOptions
    from ctdenoise.inference.files import process_path
    from ctdenoise.inference.simulation import low_dose
    from ctdenoise.noise.lowdose import KERNELS

    if kernel is not None and kernel not in KERNELS:
        raise typer.BadParameter(f"--kernel: expected one of {', '.join(KERNELS)}, found {kernel}")
    if photons is not None and not photons > 0:
        raise typer.BadParameter(f"--photons: expected a positive number, found {photons}")
    try:
        process = low_dose(
            dose, photons=photons, electronic=electronic, kernel=KERNELS[kernel] if kernel else None, seed=seed
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        with show_progress(as_json) as progress:
            options = RunOptions(series=series, overwrite=overwrite)
            outcome = process_path(process, source, output, options=options, progress=progress)
    except KeyboardInterrupt:
        raise interrupted() from None
    raise say_outcome(outcome, as_json)
