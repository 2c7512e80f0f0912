"""Training handlers that MONAI and ignite lack, checkpoints, and resuming a training."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, ProgressBar
from ignite.utils import manual_seed
from monai.data import set_rnd
from monai.engines import Evaluator, Trainer
from monai.engines.utils import IterationEvents
from tqdm.contrib.logging import logging_redirect_tqdm

from ctdenoise.errors import InputError


class GradientClipping:
    """Clip the total norm of the gradients before each optimiser step.

    Parameters
    ----------
    network
        The network whose gradients are clipped.
    max_norm
        Largest total norm; the paper uses 0.01.
    """

    def __init__(self, network: torch.nn.Module, max_norm: float) -> None:
        self.network = network
        self.max_norm = max_norm

    def attach(self, engine: Trainer) -> None:
        """Clip after each backward pass of `engine`."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Trainer) -> None:
        """Clip the gradients; with mixed precision, after undoing the gradient scaling."""
        if engine.scaler is not None:
            engine.scaler.unscale_(engine.optimizer)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.max_norm)


class SeedEachEpoch:
    """Seed all random generators of the training at the start of each epoch.

    Crops, noise and feature augmentation then depend only on the seed, the epoch and the rank, so that a resumed
    training continues exactly as if it had not been interrupted. The handler seeds the global generators of Python,
    NumPy and torch; it is meant for processes that only train.

    Parameters
    ----------
    seed
        Seed of the training.
    rank
        Rank of this process in distributed training.
    """

    def __init__(self, seed: int, rank: int = 0) -> None:
        self.seed = seed
        self.rank = rank

    def attach(self, engine: Trainer) -> None:
        """Seed at the start of each epoch of `engine`, before its data loader starts workers."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Trainer) -> None:
        """Seed the generators for the engine's current epoch."""
        seed = self.seed + 1_000_003 * self.rank + engine.state.epoch
        manual_seed(seed)
        set_rnd(engine.data_loader.dataset, seed)


class TrainingProgress:
    """Progress bar of each epoch with loss, learning rate and latest validation PSNR; shown only on a terminal.

    Parameters
    ----------
    optimizer
        The optimiser whose learning rate is shown.
    evaluator
        The evaluator whose key metric is shown.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, evaluator: Evaluator) -> None:
        self.optimizer = optimizer
        self.evaluator = evaluator
        self._redirection = ExitStack()

    def attach(self, engine: Trainer) -> None:
        """Show the progress of `engine`; log messages are printed above the bar."""
        # tqdm's disable=None means: only on a terminal.
        ProgressBar(disable=None).attach(engine, output_transform=self.values)
        if sys.stderr.isatty():
            engine.add_event_handler(Events.STARTED, self._redirect_logging)
            for event in (Events.COMPLETED, Events.TERMINATE, Events.EXCEPTION_RAISED):
                engine.add_event_handler(event, lambda *_: self._redirection.close())

    def _redirect_logging(self) -> None:
        loggers = [logging.getLogger(name) for name in (None, "training", "validation")]
        self._redirection.enter_context(logging_redirect_tqdm(loggers))

    def values(self, output: dict[str, torch.Tensor]) -> dict[str, str]:
        """Return the values shown after the bar, from the trainer's output."""
        shown = {"loss": f"{output['loss'].item():.5f}", "lr": f"{self.optimizer.param_groups[0]['lr']:.2e}"}
        metric = self.evaluator.state.metrics.get(self.evaluator.state.key_metric_name)
        return shown if metric is None else {**shown, "validation PSNR": f"{metric:.2f} dB"}


def key_metric(engine: Engine) -> float:
    """Return an evaluator's latest key metric, for early stopping and the choice of the best checkpoint."""
    return float(engine.state.metrics[engine.state.key_metric_name])


def latest_checkpoint(folder: str | Path) -> Path | None:
    """Return the newest checkpoint ``latest_*.pt`` in `folder`, or None."""
    return max(Path(folder).glob("latest_*.pt"), key=lambda path: path.stat().st_mtime_ns, default=None)


def best_checkpoint(folder: str | Path) -> Path | None:
    """Return the checkpoint ``best_…key_metric=….pt`` with the highest metric in `folder`, or None."""
    return max(
        Path(folder).glob("best_*key_metric=*.pt"), key=lambda path: float(path.stem.partition("=")[2]), default=None
    )


def checkpoint(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, lr_scheduler: Any, trainer: Trainer
) -> dict[str, Any]:
    """Return the objects whose state a checkpoint stores, so that a resumed training has the same state."""
    content = {"model": model, "optimizer": optimizer, "lr_scheduler": lr_scheduler, "trainer": trainer}
    return content if trainer.scaler is None else {**content, "scaler": trainer.scaler}


def run_or_resume(trainer: Trainer, folder: str | Path, content: dict[str, Any]) -> None:
    """Run a training from the latest checkpoint in `folder`, or from the start; do nothing if it is finished.

    Parameters
    ----------
    trainer
        The trainer, not yet running.
    folder
        Folder of the checkpoints.
    content
        From :func:`checkpoint`, with the ``checkpointer`` added, whose state is the list of files it keeps.

    Raises
    ------
    InputError
        If the checkpoint belongs to a training of another length or another network.
    """
    path = latest_checkpoint(folder)
    if path is not None:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        saved = stored["trainer"]
        epochs, epoch_length = trainer.state.max_epochs, trainer.state.epoch_length
        hint = "use the same values as that training, or choose another --output_dir"
        if (saved["max_epochs"], saved["epoch_length"]) != (epochs, epoch_length):
            raise InputError(
                f"expected a checkpoint of a training of {epochs} × {epoch_length} iterations, "
                f"found one of {saved['max_epochs']} × {saved['epoch_length']}",
                path=path,
                hint=hint,
            )
        if saved["iteration"] >= epochs * epoch_length:
            print(f"{path}: this training is finished")
            return
        try:
            Checkpoint.load_objects(content, stored)
        except (RuntimeError, ValueError, KeyError) as error:
            raise InputError("expected a checkpoint of this network, found another", path=path, hint=hint) from error
    trainer.run()
