"""``ctdenoise features``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ctdenoise.cli.common import JsonOption, print_json, show_progress


def features(
    images: Annotated[list[Path], typer.Argument(help="DICOM series, volumes, arrays or folders of photographs.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Gets features.json and features.png.")],
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME or NAME=WEIGHTS; repeatable: clip-rn50, ctdenoise-rn50, augnet, astra, random-rn50, timm's."
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=2, help="Images, evenly spread.")] = 12,
    seed: Annotated[int, typer.Option(help="Of noise and of random encoders.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Tell how invariant to distortions, and how content-related, an encoder's features are, level by level.

    The analysis that the paper chose CLIP's ResNet by. Without --encoder: the one that ships and an untrained one.
    """
    from ctdenoise.evaluation.features import analyse, distortions, feature_figure
    from ctdenoise.evaluation.stacks import open_stack
    from ctdenoise.files import write_whole

    encoders = dict(map(_encoder, encoder or ["ctdenoise-rn50", "random-rn50"]))
    stacks = [open_stack(path) for path in images]
    if len({stack.is_photograph for stack in stacks}) > 1:
        raise typer.BadParameter("expected either CT or photographs, found both")
    with show_progress(as_json) as progress:
        if progress:
            kinds = distortions(None if stacks[0].is_photograph else 1.0)
            progress.start("encoders", len(encoders) * len(kinds), 0)
        advance = progress.advance if progress else None
        document = analyse(stacks, encoders, count=count, seed=seed, advance=advance)
    output.mkdir(parents=True, exist_ok=True)
    write_whole(output / "features.json", json.dumps(document, indent=1))
    feature_figure(document, output / "features.png")
    if as_json:
        print_json(document)
        return
    _say(document)
    print(output / "features.png")


def _encoder(text: str) -> tuple[str, Path | None]:
    name, equals, file = text.partition("=")
    return name, Path(file) if equals else None


def _say(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    for name, levels in document["encoders"].items():
        scales = [level["scale"] for level in levels]
        title = f"{name}: cosine, CKA of clean and distorted features (own image found, where not always)"
        table = Table("", *scales, title=title)
        for kind in levels[0]["distortions"]:
            table.add_row(kind, *(_cell(level["distortions"][kind]) for level in levels))
        table.add_section()
        table.add_row("different images", *(f"{level['content']:.2f}" for level in levels))
        Console().print(table)


def _cell(row: dict[str, float]) -> str:
    text = f"{row['cosine']:.2f} {row['cka']:.2f}"
    return text if row["found"] == 1 else f"{text} ({row['found']:.0%})"
