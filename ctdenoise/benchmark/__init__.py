"""How fast it is here: each engine beside the reference implementation's order of operations, DICOM to DICOM, by stage.

Each row runs in a process of its own, with its own memory, and the rows take turns, so that whatever else the machine
does meets all of them.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ctdenoise.benchmark.network import convolution_gflops, network_rows
from ctdenoise.benchmark.processes import in_a_process
from ctdenoise.benchmark.series import end_to_end, stages
from ctdenoise.errors import InputError
from ctdenoise.inference import Denoiser
from ctdenoise.inference.manifest import software_versions

SCHEMA = "ctdenoise-benchmark/1"

Say = Callable[[str], None]


def benchmark(
    models: Sequence[str],
    *,
    device: str = "auto",
    sizes: Sequence[int] = (512,),
    slices: Sequence[int] = (20,),
    rounds: int = 5,
    configure: Callable[[], None],
    say: Say,
) -> dict[str, Any]:
    """Measure.

    Parameters
    ----------
    models
        Names or folders of models of CT; the reference is the default model's network.
    device
        See :class:`~ctdenoise.inference.Denoiser`.
    sizes
        Matrices, one or more; the first is that of the series.
    slices
        Lengths of the synthetic series that are denoised from DICOM to DICOM.
    rounds
        Slices that each engine is timed on.
    configure
        Makes the settings of a command in each process.
    say
        Told how it goes on.

    Returns
    -------
    dict
        The document that ``ctdenoise benchmark --json`` prints, see ``docs/speed.md``.
    """
    where = Denoiser(nn.Identity(), device=device).device
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "device": torch.cuda.get_device_name(where) if where.type == "cuda" else str(where),
            "threads": torch.get_num_threads(),
            "convolution_gflops": round(in_a_process(configure, convolution_gflops, str(where)), 1),
        },
        "versions": software_versions(),
        "network": [],
        "end_to_end": [],
        "stages": [],
    }
    for size in sizes:
        document["network"] += network_rows(models, where, size, rounds, configure, say)
    for model in models:
        for count in slices:
            say(f"{model}: {count} slices from DICOM to DICOM")
            document["end_to_end"].append(in_a_process(configure, end_to_end, model, str(where), sizes[0], count))
        say(f"{model}: stages")
        document["stages"].append(in_a_process(configure, stages, model, str(where), sizes[0], rounds))
    peak = document["machine"]["convolution_gflops"]
    for row in document["network"]:
        row["share_of_peak"] = round(row["gflops"] / peak, 3)
    return document


def record(document: dict[str, Any], history: Path) -> None:
    """Add a measurement to a history: a file with a JSON line for each.

    Parameters
    ----------
    document
        What :func:`benchmark` returned.
    history
        The file; made if it is not there.

    Raises
    ------
    InputError
        If the file holds something else than measurements.
    """
    if history.exists():
        with history.open(encoding="utf-8") as lines:
            first = lines.readline()
        if first and f'"schema": "{SCHEMA}"' not in first:
            raise InputError(f"expected a history of measurements ({SCHEMA}), found another file", path=history)
    history.parent.mkdir(parents=True, exist_ok=True)
    with history.open("a", encoding="utf-8") as file:
        file.write(json.dumps(document) + "\n")


def _processor() -> str:
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return str(known.get("cpu_name") or platform.processor() or platform.machine())
