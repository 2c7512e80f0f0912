"""Trial: continue the training of ct-lowdose-lite on the series that is to be denoised.

``python docs/trials/series_adaptation.py SERIES…`` prints the table of docs/context.md. The low-dose series are
simulated from full-dose ones, which are used for nothing else but the comparison.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctdenoise import Denoiser
from ctdenoise.evaluation.metrics import window_metrics
from ctdenoise.evaluation.stacks import open_stack
from ctdenoise.evaluation.windows import WINDOWS
from ctdenoise.noise.lowdose import dose_noise
from ctdenoise.noise.matching import match_scan
from ctdenoise.noise.measure import evenly_spread
from ctdenoise.transforms.hounsfield import HU_RANGE, hu_to_unit

Image = NDArray[np.float32]

SLICES, COMPARED, REALISATIONS = 12, (3, 5, 6, 8), 2
BATCH, CROP, SEEN_AT = 4, 96, (100, 200, 400)
#: Parameters of the last block of the decoder.
LAST = ("merge.0", "up.0", "last")
#: Fractions of the dose of the series that the inputs of the training have.
DOSES = (0.3, 0.8)


def add_noise(images: Sequence[Image], pixel_mm: float, dose: float, seed: int) -> list[Image]:
    """Return the noise that a lower dose adds to each slice, matched with the noise that it has."""
    scan = match_scan([images[i] for i in evenly_spread(len(images), 4)], pixel_mm)
    generators = [np.random.default_rng([index, seed]) for index in range(len(images))]
    return [
        dose_noise(image, pixel_mm=pixel_mm, dose=dose, scan=scan, rng=rng).astype(np.float32)
        for image, rng in zip(images, generators, strict=True)
    ]


def pairs(images: Sequence[Image], noise: Sequence[Sequence[Image]], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return a batch of recorrupted crops and their targets, [0, 1]; see RandRecorruptedd."""
    inputs, targets = [], []
    while len(inputs) < BATCH:
        index = rng.integers(len(images))
        top, left = (rng.integers(side - CROP + 1) for side in images[index].shape)
        place = np.s_[top : top + CROP, left : left + CROP]
        if (images[index][place] > -500).mean() < 0.3:  # air
            continue
        z = noise[rng.integers(len(noise))][index][place] * rng.choice([-1, 1])
        alpha = np.sqrt(1 / np.exp(rng.uniform(*np.log(DOSES))) - 1)
        inputs.append(images[index][place] + alpha * z)
        targets.append(images[index][place] - z / alpha)
    first, second = (torch.from_numpy(hu_to_unit(np.stack(b).astype(np.float32), HU_RANGE)) for b in (inputs, targets))
    return first[:, None], second[:, None]


def adapted(denoiser: Denoiser, images: Sequence[Image], pixel_mm: float, rate: float) -> Iterator[int]:
    """Train the last decoder block on recorrupted slices; yield the iterations after which to look."""
    network = denoiser.network
    noise = [add_noise(images, pixel_mm, 0.5, seed) for seed in range(2, 2 + REALISATIONS)]
    trained = [p.requires_grad_() for name, p in network.named_parameters() if name.startswith(LAST)]
    optimiser = torch.optim.AdamW(trained, weight_decay=0)
    rng = np.random.default_rng(0)
    for iteration in range(1, SEEN_AT[-1] + 1):
        optimiser.param_groups[0]["lr"] = rate * min(1, iteration / 20) * (1 - (iteration - 1) / SEEN_AT[-1])
        noisy, target = pairs(images, noise, rng)
        loss = (network(noisy) - target).square().mean((1, 2, 3)).sqrt().mean() * 400
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        if iteration in SEEN_AT:
            yield iteration


def psnr(denoiser: Denoiser, full: Sequence[Image], low: Sequence[Image], dose: float) -> str:
    """Return PSNR in soft tissue, dB."""
    clean = [denoiser(low[i], strength=1 - dose) for i in COMPARED]
    return f"{window_metrics([full[i] for i in COMPARED], clean, WINDOWS['soft-tissue'])['psnr']:.2f}"


def main() -> None:
    """Print a row for each series and dose."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("series", nargs="+", type=Path, help="folders of full-dose CT series")
    parser.add_argument("--dose", type=float, nargs="+", default=[0.25, 0.1])
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    options = parser.parse_args()
    print(
        f"| series | dose | shipped | {' | '.join(map(str, SEEN_AT))} |\n| --- | --- | --- |{' --- |' * len(SEEN_AT)}"
    )
    for path in options.series:
        stack = open_stack(path)
        first = max(0, len(stack.slices) // 2 - SLICES // 2)
        full = [stack.read(i) for i in range(first, min(first + SLICES, len(stack.slices)))]
        pixel_mm = stack.pixel_spacing_mm or 1.0
        for dose in options.dose:
            added = add_noise(full, pixel_mm, dose, 1)
            low = [image + noise for image, noise in zip(full, added, strict=True)]
            denoiser = Denoiser.from_pretrained("ct-lowdose-lite", engine="eager", full_field=True)
            cells = [psnr(denoiser, full, low, dose)]
            cells += [psnr(denoiser, full, low, dose) for _ in adapted(denoiser, low, pixel_mm, options.rate)]
            print(f"| {path.name} | {dose:.0%} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
