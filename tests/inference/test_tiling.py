from __future__ import annotations

import numpy as np
import pytest
import torch

from ctdenoise import Denoiser
from ctdenoise.inference import tiling
from ctdenoise.inference.tiling import TILE_OVERLAP, apply_in_tiles
from ctdenoise.models import NetworkConfig, build_network


@pytest.mark.parametrize("encoder", ["RN50", "resnet18"])
def test_tiles_give_what_the_whole_gives(encoder):
    network = build_network(NetworkConfig(encoder=encoder), seed=0).eval()
    image = torch.rand(1, 3, 560, 160).repeat(1, 1, 2, 1)
    with torch.inference_mode():
        whole = network(image)
        tiled = apply_in_tiles(network, image, 2 * TILE_OVERLAP + 320)
    scale = 1e-3 / 4096 * float(whole.abs().max().clamp(min=1))
    assert (tiled - whole).abs().max() < max(scale, 2e-6 * float(whole.abs().max()))


class Small(torch.nn.Module):
    """Runs out of memory above a number of pixels."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if image.shape[0] * image.shape[-2] * image.shape[-1] > 700 * 700:
            raise torch.OutOfMemoryError("out of memory")
        return image


def test_where_memory_does_not_suffice_for_a_slice_it_goes_in_tiles():
    hu = np.random.default_rng(0).integers(-1000, 3000, (2, 1000, 1100)).astype(np.float32)
    np.testing.assert_array_equal(Denoiser(Small(), batch_size=2)(hu, strength=1.0), hu)


def test_free_memory_decides_beforehand(monkeypatch):
    class Free:
        available = 2 * 900 * 900 * tiling.BYTES_PER_PIXEL

    monkeypatch.setattr(tiling.psutil, "virtual_memory", Free)
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(image.shape[-2] * image.shape[-1])
            return image

    Denoiser(Spy(), device="cpu")(np.zeros((1, 1200, 1200), np.float32), strength=1.0)
    assert max(seen) <= 900 * 900
