"""The numerical environment: software and hardware that decide how floating-point results are rounded."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import TYPE_CHECKING, Any

from ctdenoise.errors import Help, InputError
from ctdenoise.version import __version__

if TYPE_CHECKING:
    import torch


def processor() -> str:
    """Return the kind of processor: architecture, and the vector instructions that torch uses."""
    import torch

    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def numerical_environment(engine: str, engine_package: str, device: torch.device, batch_size: int) -> dict[str, str]:
    """Return what can change the rounding of a network's results.

    Parameters
    ----------
    engine
        Name of the engine.
    engine_package
        The package that computes, e.g. ``"openvino"``.
    device
        Where it computes.
    batch_size
        Most images at once, as asked for: libraries choose other algorithms for other sizes.
    """
    import torch

    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {
        "ctdenoise": __version__,
        "engine": engine,
        engine_package: importlib.metadata.version(engine_package),
        "device": device.type,
        "hardware": hardware,
        "batch_size": str(batch_size),
        # On a CPU, sums are split among threads.
        **({"threads": str(torch.get_num_threads())} if device.type == "cpu" else {}),
    }


def require_same_environment(earlier: Any, current: dict[str, str]) -> None:
    """Raise InputError, naming what differs, unless a series can be continued with the rounding it was begun with."""
    known = earlier if isinstance(earlier, dict) else {}
    keys = sorted({*known, *current})
    differing = [key for key in keys if known.get(key) != current.get(key)]
    if differing:
        expected = ", ".join(f"{key} {known.get(key, 'absent')}" for key in differing)
        found = ", ".join(f"{key} {current.get(key, 'absent')}" for key in differing)
        raise InputError(
            f"this series was begun with {expected}; found {found}, which can round pixels differently",
            hint="continue it where it was begun, choose another output folder, or use --overwrite",
            see=Help.OTHER_RESULT,
        )
