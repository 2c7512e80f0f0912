"""``ctdenoise demo``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ctdenoise.cli.common import JsonOption, print_json, show_progress
from ctdenoise.cli.denoise import DeviceOption, ModelOption, load_denoiser


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for series, picture and report.")] = Path(
        "ctdenoise-demo"
    ),
    model: ModelOption = "ct-lowdose",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Denoise a simulated low-dose thorax and compare it with the truth; needs no data and no network."""
    denoiser = load_denoiser(model, device=device)
    from ctdenoise.demo import run_demo

    with show_progress(as_json) as progress:
        result = run_demo(output, denoiser, progress=progress, say=lambda text: print(f"{text} …", file=sys.stderr))
    if as_json:
        print_json({k: str(v) if isinstance(v, Path) else v for k, v in asdict(result).items()})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("window", "", "PSNR / dB", "SSIM", "RMSE / HU", title="against the phantom's truth")
    for name, before in result.before.items():
        for label, row in (("low dose", before), ("denoised", result.after[name])):
            numbers = f"{row['psnr']:.2f}", f"{row['ssim']:.4f}", f"{row['rmse']:.1f}"
            table.add_row(name if label == "low dose" else "", label, *numbers)
    Console().print(table)
    for label, path in (
        ("full dose", result.full_dose),
        ("low dose", result.low_dose),
        ("denoised", result.denoised),
        ("picture", result.picture),
        ("report", result.report),
    ):
        print(f"{label:>9}: {path}")
