"""``ctdenoise train`` and ``export``: the bundles of ``pipelines/``."""

from __future__ import annotations

from typing import Annotated

import typer

from ctdenoise.cli.common import interrupted

#: Whatever is not an option of the command is a value of the bundle's configuration.
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def train(
    context: typer.Context,
    pipeline: Annotated[str, typer.Argument(help="ct_lowdose, natural_gaussian or natural_srgb.")],
    overlay: Annotated[
        list[str] | None, typer.Option(help="Another config of the pipeline on top, e.g. in_house; repeatable.")
    ] = None,
) -> None:
    """Train a pipeline, as python -m monai.bundle run does in its folder; started again, it goes on.

    Every value of its configs/train.json can be given: ctdenoise train ct_lowdose --dataset_dir DATA --output_dir OUT
    --iterations 4000 --network#architecture dncnn. Under torchrun each process takes its share of the batch.
    """
    from ctdenoise.training.run import parse_overrides, run_pipeline

    try:
        run_pipeline(pipeline, ["train", *(overlay or [])], parse_overrides(context.args))
    except KeyboardInterrupt:
        raise interrupted() from None


def export(
    context: typer.Context,
    pipeline: Annotated[str, typer.Argument(help="The one that was trained.")],
    overlay: Annotated[list[str] | None, typer.Option(help="As in training.")] = None,
) -> None:
    """Turn the best checkpoint of a training into a model folder for ctdenoise run --model.

    Takes the values the training was given, and --model_dir.
    """
    from ctdenoise.training.run import parse_overrides, run_pipeline

    run_pipeline(pipeline, ["train", *(overlay or []), "export"], parse_overrides(context.args))
