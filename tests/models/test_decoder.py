from __future__ import annotations

import torch

from ctdenoise.models import FeatureDecoder

CHANNELS = (3, 64, 256, 512, 1024)


def features(batch: int = 1, size: int = 32) -> list[torch.Tensor]:
    return [torch.rand(batch, c, size >> i, size >> i) for i, c in enumerate(CHANNELS)]


def test_widths_are_the_papers_and_nothing_has_a_bias():
    decoder = FeatureDecoder(CHANNELS)
    shapes = [tuple(p.shape[:2]) for p in decoder.parameters()]
    assert shapes == [
        (512, 1024),
        (512, 512),
        (256, 1024),
        (256, 256),
        (128, 512),
        (128, 128),
        (64, 192),
        (64, 64),
        (64, 67),
        (64, 64),
        (1, 64),
    ]


def test_positively_homogeneous():
    decoder = FeatureDecoder(CHANNELS).double()
    maps = [f.double() for f in features()]
    torch.testing.assert_close(decoder([3 * f for f in maps]), 3 * decoder(maps))


def test_every_map_matters():
    decoder = FeatureDecoder(CHANNELS)
    maps = features()
    whole = decoder(maps)
    for i in range(5):
        without = [torch.zeros_like(f) if j == i else f for j, f in enumerate(maps)]
        assert not torch.equal(decoder(without), whole)
