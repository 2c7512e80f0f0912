"""Ignite handlers that MONAI and ignite do not have."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from ignite.utils import manual_seed
from monai.data import set_rnd
from monai.engines import Evaluator, Trainer
from monai.engines.utils import IterationEvents
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ctdenoise.errors import InputError


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
        """Clip now; gradients that mixed precision scaled up are scaled down first."""
        if engine.scaler is not None:
            engine.scaler.unscale_(engine.optimizer)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.max_norm)


class SeedEachEpoch:
    """Seed crops, noise and feature augmentation anew in each epoch, differently in each process and worker.

    What an epoch draws depends on its number alone, so that a training that was cut off and resumed draws what it
    would have drawn.

    Parameters
    ----------
    seed
        Of the training.
    rank
        Of this process among several.
    """

    def __init__(self, seed: int, rank: int = 0) -> None:
        self.seed = seed
        self.rank = rank

    def attach(self, engine: Trainer) -> None:
        """Seed when an epoch of `engine` begins, before its loader starts workers."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Trainer) -> None:
        """Seed now."""
        seed = self.seed + 1_000_003 * self.rank + engine.state.epoch
        manual_seed(seed)
        set_rnd(engine.data_loader.dataset, seed)


class TrainingProgress:
    """A bar over the whole training: loss, learning rate, validation PSNR, time left. None in a pipe.

    Parameters
    ----------
    optimizer
        Whose learning rate.
    evaluator
        Whose key metric.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, evaluator: Evaluator) -> None:
        self.optimizer = optimizer
        self.evaluator = evaluator
        self._shown = ExitStack()

    def attach(self, engine: Trainer) -> None:
        """Show the training of `engine`."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.advance)
        for ended in (Events.COMPLETED, Events.TERMINATE, Events.EXCEPTION_RAISED):
            engine.add_event_handler(ended, lambda *_: self._shown.close())

    def start(self, engine: Trainer) -> None:
        """Begin where the training does; what is logged from now on goes above the bar."""
        # tqdm takes disable=None for "unless on a terminal".
        bar = tqdm(
            total=engine.state.max_epochs * engine.state.epoch_length,
            initial=engine.state.iteration,
            desc="training",
            disable=None,
        )
        self._bar = self._shown.enter_context(bar)
        if not bar.disable:
            loggers = [logging.getLogger(name) for name in (None, "training", "validation")]
            self._shown.enter_context(logging_redirect_tqdm(loggers))

    def advance(self, engine: Trainer) -> None:
        """One iteration more."""
        self._bar.set_postfix(self.values(engine.state.output["loss"].item()), refresh=False)
        self._bar.update()

    def values(self, loss: float) -> dict[str, str]:
        """Return what stands behind the bar."""
        shown = {"loss": f"{loss:.5f}", "lr": f"{self.optimizer.param_groups[0]['lr']:.2e}"}
        metric = self.evaluator.state.metrics.get(self.evaluator.state.key_metric_name)
        return shown if metric is None else {**shown, "validation PSNR": f"{metric:.2f} dB"}


def key_metric(engine: Engine) -> float:
    """Return an evaluator's latest key metric, for early stopping."""
    return float(engine.state.metrics[engine.state.key_metric_name])


def latest_checkpoint(folder: str | Path) -> Path | None:
    """Return the newest ``latest_*.pt`` that a training wrote into `folder`, or None."""
    return max(Path(folder).glob("latest_*.pt"), key=lambda path: path.stat().st_mtime_ns, default=None)


def best_checkpoint(folder: str | Path) -> Path | None:
    """Return the ``best_…key_metric=….pt`` of highest metric in `folder`, or None."""
    return max(
        Path(folder).glob("best_*key_metric=*.pt"), key=lambda path: float(path.stem.partition("=")[2]), default=None
    )


def checkpoint(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, lr_scheduler: Any, trainer: Trainer
) -> dict[str, Any]:
    """Return what a checkpoint holds, so that a resumed training is in the same state."""
    content = {"model": model, "optimizer": optimizer, "lr_scheduler": lr_scheduler, "trainer": trainer}
    return content if trainer.scaler is None else {**content, "scaler": trainer.scaler}


def run_or_resume(trainer: Trainer, folder: str | Path, content: dict[str, Any]) -> None:
    """Train, from where the latest checkpoint in `folder` ended if there is one; a finished training is left alone.

    Parameters
    ----------
    trainer
        Not yet running.
    folder
        Where checkpoints are.
    content
        From :func:`checkpoint`, and the ``checkpointer`` that knows which files it keeps.

    Raises
    ------
    InputError
        If the checkpoint is of another training: longer, shorter, or of another network.
    """
    path = latest_checkpoint(folder)
    if path is not None:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        saved = stored["trainer"]
        asked = trainer.state.max_epochs, trainer.state.epoch_length
        hint = "repeat that training's values, or choose another --output_dir"
        if (saved["max_epochs"], saved["epoch_length"]) != asked:
            raise InputError(
                f"expected a training of {asked[0]} × {asked[1]} iterations, "
                f"found one of {saved['max_epochs']} × {saved['epoch_length']}",
                path=path,
                hint=hint,
            )
        if saved["iteration"] >= asked[0] * asked[1]:
            print(f"{path}: this training is finished")
            return
        try:
            Checkpoint.load_objects(content, stored)
        except (RuntimeError, ValueError, KeyError) as error:
            raise InputError("expected a checkpoint of this network, found another's", path=path, hint=hint) from error
    trainer.run()
