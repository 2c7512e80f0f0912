"""``ctdenoise train`` and ``ctdenoise export``: run a bundle of ``pipelines/``."""

from __future__ import annotations

import warnings
from typing import Annotated, Any

import typer

from ctdenoise.cli.common import interrupted
from ctdenoise.training.resources import names

#: Click settings: arguments that are not options of the command are keys of the bundle's configuration.
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}

PipelineArgument = Annotated[
    str, typer.Argument(metavar="PIPELINE", help=f"Name of the bundle: {', '.join(names('pipelines'))}.")
]


def train(
    context: typer.Context,
    pipeline: PipelineArgument,
    overlay: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Configuration file of the bundle, e.g. in_house, that overrides configs/train.json; repeatable.",
        ),
    ] = None,
    reset: Annotated[
        bool, typer.Option("--reset", help="Delete the checkpoints in the output folder and start anew.")
    ] = False,
) -> None:
    """Train a model with a bundle, as python -m monai.bundle run does; run again to resume an interrupted training.

    A training resumes only with the values and the data it was begun with.

    Every key of the bundle's configs/train.json can be given as an option:

    ctdenoise train ct_lowdose --dataset_dir DATA --output_dir OUT --iterations 4000 --network#architecture dncnn

    Under torchrun the batch is divided between the processes.
    """
    try:
        _run(pipeline, ["train", *(overlay or [])], context.args, {"reset": True} if reset else {})
    except KeyboardInterrupt:
        raise interrupted() from None


def export(
    context: typer.Context,
    pipeline: PipelineArgument,
    overlay: Annotated[list[str] | None, typer.Option(metavar="NAME", help="As in the training.")] = None,
) -> None:
    """Write the best checkpoint of a training as a model folder for ctdenoise run --model.

    Takes --output_dir of the training and --model_dir FOLDER, or --checkpoint_file FILE. What the training was run with
    is in its checkpoints; options that say otherwise are refused.
    """
    _run(pipeline, ["train", *(overlay or []), "export"], context.args, {})


def _run(pipeline: str, configs: list[str], arguments: list[str], options: dict[str, Any]) -> None:
    from ctdenoise.training.run import parse_overrides, run_pipeline

    # MONAI warns that configurations run code; these are ours, with values of the user's own command line.
    warnings.filterwarnings("ignore", message="parsing config_file")
    run_pipeline(pipeline, configs, {**parse_overrides(arguments), **options})
