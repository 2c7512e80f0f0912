"""``ctdenoise container``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ctdenoise.cli.common import EngineName, interrupted, show_progress
from ctdenoise.io.transfer_syntax import TransferSyntax


class Partial(StrEnum):
    """Choices of ``--partial``."""

    OK = "ok"
    FAIL = "fail"


def container(
    source: Annotated[
        Path | None, typer.Option("--input", help="Folder with images; by default what the orchestrator says.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder for the results; by default what the orchestrator says.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of a model that ships, or a model folder.")] = None,
    strength: Annotated[str | None, typer.Option(help="From 0 to 1, or auto.")] = None,
    full_field: Annotated[
        bool | None, typer.Option("--full-field/--no-full-field", help="Denoise the air around the body too.")
    ] = None,
    transfer_syntax: Annotated[TransferSyntax | None, typer.Option(help="Encoding of derived files.")] = None,
    classic: Annotated[
        bool | None, typer.Option("--classic/--no-classic", help="Write enhanced CT as classic slices.")
    ] = None,
    drop_private: Annotated[
        bool | None, typer.Option("--drop-private/--keep-private", help="Leave private elements out.")
    ] = None,
    deidentify: Annotated[
        bool | None,
        typer.Option("--deidentify/--no-deidentify", help="Apply the basic profile of PS3.15 annex E."),
    ] = None,
    shift_dates: Annotated[
        bool | None,
        typer.Option("--shift-dates/--remove-dates", help="With --deidentify: move dates in place of removing them."),
    ] = None,
    partial: Annotated[
        Partial | None,
        typer.Option(help="Where some images failed and the rest is done: exit with 0 (ok) or 1 (fail)."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Compute device: auto, cpu, cuda, cuda:1 or mps.")] = None,
    engine: Annotated[EngineName | None, typer.Option(help="How the network is computed.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Slices in the network at once.")] = None,
) -> None:
    """Denoise all images of one folder into another, as mercure, MONAI Deploy, XNAT and Kaapana ask for.

    Folders and settings may also come from the environment and from mercure's task.json.
    """
    from ctdenoise.cli.process import configure_container
    from ctdenoise.container import WORK, ContainerSettings, Folders, run_container

    folders = Folders.of(source, output)
    given = {
        "model": model,
        "strength": strength,
        "full_field": full_field,
        "engine": engine and engine.value,
        "device": device,
        "batch_size": batch_size,
        "transfer_syntax": transfer_syntax,
        "classic": classic,
        "drop_private": drop_private,
        "deidentify": deidentify,
        "shift_dates": shift_dates,
        "partial": partial and partial.value,
    }
    settings = ContainerSettings.of(given, folders.source)
    configure_container(folders.output / WORK)
    try:
        with show_progress(as_json=False) as progress:
            code = run_container(folders, settings, progress)
    except KeyboardInterrupt:
        raise interrupted() from None
    raise typer.Exit(code)
