"""``ctdenoise benchmark``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ctdenoise.cli.common import JsonOption, print_json
from ctdenoise.cli.denoise import DeviceOption


def benchmark(
    model: Annotated[list[str] | None, typer.Option(help="Repeatable; all CT models that ship if not given.")] = None,
    device: DeviceOption = "auto",
    size: Annotated[list[int] | None, typer.Option(min=64, help="Matrix; repeatable; 512 if not given.")] = None,
    slices: Annotated[list[int] | None, typer.Option(min=1, help="Of a series; repeatable; 20 if not given.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Slices that each engine is timed on, in turns.")] = 5,
    history: Annotated[
        Path | None,
        typer.Option("--record", help="Add the measurement to this file, a JSON line for each: a history of speed."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how fast it is here, beside the reference implementation's order of operations."""
    from ctdenoise.benchmark import benchmark as measure
    from ctdenoise.benchmark import record
    from ctdenoise.cli.process import configure_worker
    from ctdenoise.models import zoo

    models = model or [name for name in zoo.available() if zoo.describe(name).hu_range]
    document = measure(
        models,
        device=device,
        sizes=size or [512],
        slices=slices or [20],
        rounds=rounds,
        configure=configure_worker,
        say=lambda text: print(f"{text} …", file=sys.stderr),
    )
    if history:
        record(document, history)
    if as_json:
        print_json(document)
    else:
        _show(document)


def _show(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console, machine = Console(width=None if sys.stdout.isatty() else 120), document["machine"]
    console.print(
        f"{machine['processor']}, {machine['threads']} threads, device {machine['device']}; "
        f"a large convolution: {machine['convolution_gflops']:.0f} GFLOP/s"
    )
    table = Table(
        "model", "engine", "matrix", "s / slice", "× reference", "of peak", "MB", "set-up / s", "HU off: rms, max"
    )
    for row in document["network"]:
        off = f"{row['difference_rms_hu']:.3f}, {row['difference_max_hu']:.2f}"
        table.add_row(
            row["model"],
            row["engine"],
            f"{row['size']}²",
            f"{row['seconds_per_slice']:.3f}",
            f"{row['speedup_vs_reference']:.1f}",
            f"{row['share_of_peak']:.0%}",
            str(row["peak_memory_mb"]),
            f"{row['setup_seconds']:.1f}",
            off,
        )
    console.print("the network alone", table)
    table = Table("model", "engine", "slices", "s", "s / slice", "network alone", "× network", "MB")
    for row in document["end_to_end"]:
        table.add_row(
            row["model"],
            row["engine"],
            str(row["slices"]),
            f"{row['seconds']:.1f}",
            f"{row['seconds_per_slice']:.3f}",
            f"{row['network_seconds_per_slice']:.3f}",
            f"{row['times_network']:.2f}",
            str(row["peak_memory_mb"]),
        )
    console.print("DICOM to DICOM", table)
    for entry in document["stages"]:
        parts = ", ".join(f"{stage} {seconds * 1e3:.0f} ms" for stage, seconds in entry["seconds"].items())
        console.print(f"{entry['model']}, one slice, each stage by itself: {parts}")
