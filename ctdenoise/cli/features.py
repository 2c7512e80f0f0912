"""``ctdenoise features``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctdenoise.cli.common import JsonOption, print_json, show_progress

if TYPE_CHECKING:
    from ctdenoise.evaluation.features import DistortionScores, FeatureAnalysis

_DEFAULT_ENCODERS = ("ctdenoise-rn50", "random-rn50")
_ENCODERS, _IMAGES, _OUTPUT = "Encoders", "Images", "Output"

ImagesArgument = Annotated[
    list[Path], typer.Argument(help="DICOM series, volumes, arrays of HU, or folders of photographs.")
]
OutputOption = Annotated[
    Path,
    typer.Option("-o", "--output", help="Folder for features.json and features.png.", rich_help_panel=_OUTPUT),
]
EncoderOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Encoder as NAME or NAME=WEIGHTS_FILE; repeatable. Names: clip-rn50, ctdenoise-rn50, "
        "ctdenoise-rn50-equivariant, augnet, astra, random-rn50, and the ResNets of timm "
        f"(default: {', '.join(_DEFAULT_ENCODERS)}).",
        show_default=False,
        rich_help_panel=_ENCODERS,
    ),
]
CountOption = Annotated[
    int, typer.Option(min=2, help="Number of images, evenly spread over all slices.", rich_help_panel=_IMAGES)
]
SeedOption = Annotated[
    int, typer.Option(help="Seed of the noise and of encoders without weights.", rich_help_panel=_IMAGES)
]


def features(
    images: ImagesArgument,
    *,
    encoder: EncoderOption = None,
    count: CountOption = 12,
    seed: SeedOption = 0,
    output: OutputOption,
    as_json: JsonOption = False,
) -> None:
    """Measure how much distortions change an encoder's features, and how well features distinguish images.

    This is the analysis by which the paper chose the ResNet of CLIP.
    """
    from ctdenoise.evaluation.distortions import distortions
    from ctdenoise.evaluation.feature_figure import feature_figure
    from ctdenoise.evaluation.features import analyse
    from ctdenoise.evaluation.stacks import open_stack
    from ctdenoise.files import write_whole
    from ctdenoise.io.dicom.discover import input_tree
    from ctdenoise.io.folders import require_outside

    require_outside(output, map(input_tree, images))
    encoders = dict(map(_encoder, encoder or _DEFAULT_ENCODERS))
    stacks = [open_stack(path) for path in images]
    if len({stack.is_photograph for stack in stacks}) > 1:
        raise typer.BadParameter("expected either CT or photographs, found both")
    with show_progress(as_json) as progress:
        if progress:
            kinds = distortions(None if stacks[0].is_photograph else 1.0)
            progress.start("distortions", len(encoders) * len(kinds), 0)
        advance = progress.advance if progress else None
        analysis = analyse(stacks, encoders, count=count, seed=seed, advance=advance)
    output.mkdir(parents=True, exist_ok=True)
    write_whole(output / "features.json", json.dumps(analysis.as_json(), indent=1))
    feature_figure(analysis, output / "features.png")
    if as_json:
        print_json(analysis.as_json())
    else:
        _print_summary(analysis, output)


def _encoder(text: str) -> tuple[str, Path | None]:
    name, equals, file = text.partition("=")
    return name, Path(file) if equals else None


def _print_summary(analysis: FeatureAnalysis, output: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    for name, levels in analysis.encoders.items():
        title = f"{name}: cosine similarity and CKA of clean and distorted features (images recognised, if not all)"
        table = Table("", *(level.scale for level in levels), title=title)
        for kind in levels[0].distortions:
            table.add_row(kind, *(_cell(level.distortions[kind]) for level in levels))
        table.add_section()
        table.add_row("different images", *(f"{level.content:.2f}" for level in levels))
        Console().print(table)
    print(output / "features.png")


def _cell(scores: DistortionScores) -> str:
    text = f"{scores.cosine:.2f} {scores.cka:.2f}"
    return text if scores.found == 1 else f"{text} ({scores.found:.0%})"
