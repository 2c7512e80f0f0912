"""Training of the weights with which denoised slices are averaged with their neighbours.

``python -m ctdenoise.training.averaging SERIES… --model ct-lowdose -o FOLDER`` writes a model folder: the model with
:class:`~ctdenoise.models.averaging.NeighbourAveraging`. The denoiser itself is not changed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ctdenoise.files import file_sha256
from ctdenoise.models.averaging import NeighbourAveraging
from ctdenoise.models.weights import save_weights
from ctdenoise.models.zoo import AVERAGING_FILE, copy_weights, load_model, write_description
from ctdenoise.training.neighbour_stacks import Stack, stacks
from ctdenoise.transforms.hounsfield import hu_to_unit, unit_to_hu

#: HU between which errors count; more for bone and metal would outweigh the rest.
_COUNTED_HU = (-1100.0, 400.0)
#: Added to errors before their logarithm is taken, HU.
_OFFSET_HU = 0.5
#: Stacks for each update; highest learning rate and the share of updates in which it rises.
_BATCH, _LEARNING_RATE, _WARM_UP, _WEIGHT_DECAY = 6, 1e-2, 0.1, 1e-3
_REPORTED = 100


def train(averaging: NeighbourAveraging, examples: Sequence[Stack], *, iterations: int, keep: float, seed: int) -> None:
    """Train the weights.

    The loss is the logarithm of the mean error of the averaged slice over that of the denoised one, plus `keep` times
    how much further from the truth the mean of each ellipsoid is.

    Parameters
    ----------
    averaging
        In place.
    examples
        To draw from.
    iterations
        Number of updates.
    keep
        Price of contrast; the higher, the less is averaged.
    seed
        Of the order.
    """
    optimizer = torch.optim.AdamW(averaging.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, _LEARNING_RATE, total_steps=iterations, pct_start=_WARM_UP
    )
    rng = np.random.default_rng(seed)
    history: list[tuple[float, float]] = []
    for iteration in range(1, iterations + 1):
        chosen = [examples[i] for i in rng.integers(len(examples), size=_BATCH)]
        noisy, denoised = (torch.stack([getattr(one, name) for one in chosen]) for name in ("noisy", "denoised"))
        averaged = averaging(noisy, denoised)
        error = torch.stack([_relative_error(*pair) for pair in zip(chosen, averaged, strict=True)]).mean()
        lost = torch.stack([_lost_contrast(*pair) for pair in zip(chosen, averaged, strict=True)]).mean()
        optimizer.zero_grad()
        (error + keep * lost).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        history.append((error.item(), lost.item()))
        if iteration % _REPORTED == 0:
            mean_error, mean_lost = np.mean(history[-_REPORTED:], axis=0)
            print(f"{iteration}: error {np.expm1(mean_error):+.1%}, contrast lost {mean_lost:.2%}", flush=True)


def _relative_error(stack: Stack, averaged: Tensor) -> Tensor:
    centre = len(stack.clean) // 2
    truth, before, after = (one.clamp(*_COUNTED_HU) for one in (stack.clean[centre], stack.denoised[centre], averaged))
    error = ((after - truth).abs().mean() + _OFFSET_HU) / ((before - truth).abs().mean() + _OFFSET_HU)
    return error.log()


def _lost_contrast(stack: Stack, averaged: Tensor) -> Tensor:
    """Return the mean over ellipsoids of the increase of their error, relative to their contrast."""
    centre = len(stack.clean) // 2
    losses = [averaged.sum() * 0]
    for number, contrast in enumerate(stack.contrasts, 1):
        core = stack.ellipsoids == number
        if core.any():
            truth = stack.clean[centre][core].mean()
            before, after = (stack.denoised[centre][core].mean() - truth).abs(), averaged[core].mean() - truth
            losses.append((after.abs() - before).relu() / contrast)
    return torch.stack(losses).sum() / max(1, len(losses) - 1)


def main() -> None:
    """Train on DICOM series and write a model folder."""
    parser = argparse.ArgumentParser(prog="python -m ctdenoise.training.averaging", description=__doc__)
    parser.add_argument("series", nargs="+", type=Path, help="folders of contiguous CT series")
    parser.add_argument("-o", "--output", type=Path, required=True, help="model folder to write")
    parser.add_argument("--model", default="ct-lowdose", help="(default: ct-lowdose)")
    parser.add_argument("--name", help="of the new model (default: that of the model, and -context)")
    parser.add_argument("--stacks", type=int, default=300, help="that are made (default: 300)")
    parser.add_argument("--iterations", type=int, default=1000, help="(default: 1000)")
    parser.add_argument("--keep", type=float, default=1.0, help="price of contrast that is lost (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    options = parser.parse_args()
    network, description = load_model(options.model)
    if description.hu_range is None or description.network.get("context", 1) > 1:
        parser.error("--model: expected a model for CT without neighbours")
    denoise = partial(_denoise, network, description.hu_range)
    examples = list(stacks(options.series, denoise, options.stacks, options.seed))
    torch.manual_seed(options.seed)
    averaging = NeighbourAveraging()
    train(averaging, examples, iterations=options.iterations, keep=options.keep, seed=options.seed)
    write_model(options.model, averaging, options.output, name=options.name)


@torch.inference_mode()
def _denoise(network: nn.Module, hu_range: tuple[float, float], hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Denoise ``[N, H, W]`` HU, H and W multiples of 16."""
    images = torch.from_numpy(hu_to_unit(hu, hu_range))[:, None]
    return unit_to_hu(torch.cat([network(one[None]) for one in images])[:, 0].numpy(), hu_range)


def write_model(model: str | Path, averaging: NeighbourAveraging, folder: Path, *, name: str | None = None) -> None:
    """Write a model with its averaging as a model folder; InputError if there is no such model."""
    folder.mkdir(parents=True, exist_ok=True)
    description = copy_weights(model, folder)
    save_weights(averaging.state_dict(), folder / AVERAGING_FILE, dtype=torch.float32)
    write_description(
        folder,
        replace(
            description,
            name=name or f"{description.name}-context",
            averaging_file=AVERAGING_FILE,
            averaging_sha256=file_sha256(folder / AVERAGING_FILE),
        ),
    )


if __name__ == "__main__":
    main()
