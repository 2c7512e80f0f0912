"""Training handlers that MONAI and ignite lack."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack

import torch
from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from ignite.utils import manual_seed
from monai.data import set_rnd
from monai.engines import Evaluator, Trainer
from monai.engines.utils import IterationEvents
from tqdm.contrib.logging import logging_redirect_tqdm


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
