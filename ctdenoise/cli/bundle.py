"""``ctdenoise bundle``: a pipeline and a model as a self-contained MONAI bundle."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ctdenoise.cli.common import JsonOption, print_json
from ctdenoise.training.resources import names


def bundle(
    pipeline: Annotated[
        str, typer.Argument(metavar="NAME", help=f"Name of the bundle: {', '.join(names('pipelines'))}.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the bundle; must be new or empty.")],
    model: Annotated[
        str | None, typer.Option(help="Name or folder of the model; by default the one that the bundle denoises with.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a MONAI bundle with its model, to be copied to another machine or given to a model zoo."""
    from ctdenoise.training.bundle import write_bundle

    # torch says that tracing is deprecated, which MONAI needs, and that the number of channels is fixed, which it is.
    warnings.filterwarnings("ignore", module=r"torch(\.|$)|ctdenoise(\.|$)")
    description = write_bundle(pipeline, output, model=model)
    if as_json:
        print_json(asdict(description))
        return
    print(f"{output}: {pipeline} with model {description.name} {description.version}")
