"""Ignite handlers that MONAI and ignite do not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from monai.engines import Trainer
from monai.engines.utils import IterationEvents
from monai.handlers import CheckpointLoader


class GradientClipping:
    """Scale gradients down to a total norm before each optimiser step.

    Parameters
    ----------
    network
        Whose gradients.
    max_norm
        The largest norm that is let through; the paper uses 0.01.
    """

    def __init__(self, network: torch.nn.Module, max_norm: float) -> None:
        self.network = network
        self.max_norm = max_norm

    def attach(self, engine: Trainer) -> None:
        """Clip after each backward pass of `engine`."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Trainer) -> None:
        """Clip now."""
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.max_norm)


def latest_checkpoint(folder: str | Path) -> Path | None:
    """Return the newest ``latest_*.pt`` that ``CheckpointSaver`` wrote into `folder`, or None."""
    return max(Path(folder).glob("latest_*.pt"), key=lambda path: path.stat().st_mtime_ns, default=None)


def resume(trainer: Trainer, folder: str | Path, load_dict: dict[str, Any]) -> None:
    """Let `trainer` start where the latest checkpoint in `folder` ended, if there is one.

    Parameters
    ----------
    trainer
        Not yet running.
    folder
        Where checkpoints are.
    load_dict
        What the checkpoint holds; the trainer itself, under ``trainer``, carries epoch and iteration.
    """
    path = latest_checkpoint(folder)
    if path is not None:
        CheckpointLoader(str(path), load_dict, map_location="cpu")(trainer)
