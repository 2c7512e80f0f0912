"""``ctdenoise models``: list, show and verify models, download CLIP's weights, import the authors' checkpoints."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ctdenoise.cli.common import JsonOption, print_json
from ctdenoise.models.choices import ClipWeights

app = typer.Typer(help="Models that ship with ctdenoise, and your own.", no_args_is_help=True)


@app.command("list")
def models_list(as_json: JsonOption = False) -> None:
    """List the models that ship with ctdenoise."""
    from ctdenoise.models import zoo

    descriptions = [zoo.describe(name) for name in zoo.available()]
    if as_json:
        print_json([asdict(d) for d in descriptions])
        return
    for description in descriptions:
        print(f"{description.name:<24} {description.summary}")


@app.command("show")
def models_show(
    model: Annotated[str, typer.Argument(help="Name of a model that ships, or a model folder.")],
    as_json: JsonOption = False,
) -> None:
    """Show the card of a model, or with --json its model.json."""
    from ctdenoise.models import zoo

    description = zoo.describe(model)
    if as_json:
        print_json(asdict(description))
        return
    card = zoo.model_folder(model) / "README.md"
    if card.is_file():
        print(card.read_text(encoding="utf-8"))
    else:
        for name, value in asdict(description).items():
            print(f"{name:<16} {value}")


@app.command("verify")
def models_verify(
    model: Annotated[
        str | None, typer.Argument(help="Name of a model that ships, or a model folder; all that ship by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the SHA-256 of a model's weights files."""
    from ctdenoise.models import zoo

    verified = [zoo.verify(name) for name in ([model] if model else zoo.available())]
    if as_json:
        print_json([{"name": d.name, "sha256": d.sha256} for d in verified])
        return
    for description in verified:
        print(f"{description.name}: the weights files are intact")


@app.command("fetch")
def models_fetch(
    name: Annotated[ClipWeights, typer.Argument(help="Encoder with CLIP's weights.")] = ClipWeights.RN50,
    as_json: JsonOption = False,
) -> None:
    """Download CLIP's weights from the open_clip hub into its cache, for training here or on another machine."""
    from ctdenoise.files import file_sha256
    from ctdenoise.models.clip import clip_weights

    path = clip_weights(name)
    sha256 = file_sha256(path)
    if as_json:
        print_json({"name": name, "file": str(path), "sha256": sha256})
        return
    print(f"{path}: SHA-256 {sha256}")


@app.command("import")
def models_import(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of the paper's authors, net_g_latest.pth.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Model folder to create; by default named after the checkpoint."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model; by default that of the folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Convert a checkpoint of the paper's authors into a model folder for ctdenoise run --model."""
    from ctdenoise.models.authors import import_authors

    folder = output or Path(checkpoint.stem)
    description = import_authors(checkpoint, folder, name=name)
    if as_json:
        print_json(asdict(description))
        return
    print(f"{folder}: {description.summary}")
