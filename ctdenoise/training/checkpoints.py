"""Checkpoints: which are there, what they hold, and resuming a training from one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.handlers import Checkpoint
from monai.engines import Trainer

from ctdenoise.errors import InputError
from ctdenoise.training.record import TrainingRecord

logger = logging.getLogger(__name__)

_LATEST = "latest_*.pt"
_BEST = "best_*key_metric=*.pt"
_HINT = "use the same values, or another --output_dir; --reset deletes the checkpoints there and starts anew"


def latest_checkpoint(folder: str | Path) -> Path | None:
    """Return the newest checkpoint ``latest_*.pt`` in `folder`, or None."""
    return max(Path(folder).glob(_LATEST), key=lambda path: path.stat().st_mtime_ns, default=None)


def best_checkpoint(folder: str | Path) -> Path | None:
    """Return the checkpoint ``best_…key_metric=….pt`` with the highest metric in `folder`, or None."""
    return max(Path(folder).glob(_BEST), key=lambda path: float(path.stem.partition("=")[2]), default=None)


def checkpoint(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    lr_scheduler: Any,
    trainer: Trainer,
    record: TrainingRecord,
    best_saver: Checkpoint,
) -> dict[str, Any]:
    """Return the objects whose state a checkpoint stores, so that a resumed training has the same state."""
    content = {"model": model, "optimizer": optimizer, "lr_scheduler": lr_scheduler, "trainer": trainer}
    content |= {"record": record, "best_saver": best_saver}
    return content if trainer.scaler is None else {**content, "scaler": trainer.scaler}


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint without running code in it.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds of errors for damaged files
        raise InputError("expected a checkpoint of a training, found a file that cannot be read", path=path) from error
    return content


def run_or_resume(trainer: Trainer, folder: str | Path, content: Mapping[str, Any], *, reset: bool = False) -> None:
    """Run a training from the latest checkpoint in `folder`, or from the start; do nothing if it is finished.

    Checkpoints that a killed process left beside those it meant to keep are deleted.

    Parameters
    ----------
    trainer
        The trainer, not yet running.
    folder
        Folder of the checkpoints.
    content
        From :func:`checkpoint`, with the ``checkpointer`` added, whose state is the list of files it keeps.
    reset
        Delete the checkpoints in `folder` and start anew.

    Raises
    ------
    InputError
        If the checkpoint belongs to a training with other values, other data or another network.
    """
    path = None if reset else latest_checkpoint(folder)
    if path is not None:
        stored = read_checkpoint(path)
        finished = _check(stored, path, content["record"], trainer)
        if finished:
            print(f"{path}: this training is finished")
            return
        try:
            Checkpoint.load_objects(dict(content), stored)
        except (RuntimeError, ValueError, KeyError) as error:
            raise InputError("expected a checkpoint of this network, found another", path=path, hint=_HINT) from error
    if idist.get_rank() == 0:
        kept = [saver.state_dict()["_saved"] for saver in (content["checkpointer"], content["best_saver"])]
        _delete_others(Path(folder), {name for saved in kept for _, name in saved}, path)
    trainer.run()


def _check(stored: Mapping[str, Any], path: Path, record: TrainingRecord, trainer: Trainer) -> bool:
    """Return whether the stored training is finished; refuse it if it is another one."""
    if "record" not in stored:
        raise InputError(
            "expected a checkpoint with its configuration, found one of an earlier version", path=path, hint=_HINT
        )
    saved = stored["trainer"]
    finished = bool(saved["iteration"] >= saved["max_epochs"] * saved["epoch_length"])
    state = "finished" if finished else "begun"
    differences = record.differences(stored["record"])
    if (saved["max_epochs"], saved["epoch_length"]) != (trainer.state.max_epochs, trainer.state.epoch_length):
        length = f"{saved['max_epochs']} × {saved['epoch_length']} iterations"
        differences.append(f"{length}, now {trainer.state.max_epochs} × {trainer.state.epoch_length}")
    if differences:
        raise InputError(
            f"this training was {state} with other values: {'; '.join(differences)}", path=path, hint=_HINT
        )
    return finished


def _delete_others(folder: Path, kept: set[str], latest: Path | None) -> None:
    for path in sorted([*folder.glob(_LATEST), *folder.glob(_BEST)]):
        if path.name not in kept and path != latest:
            logger.info("%s: deleted, it does not belong to this training's kept checkpoints", path)
            path.unlink()
