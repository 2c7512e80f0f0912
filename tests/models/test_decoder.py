from __future__ import annotations

import torch

from ctdenoise.models import FeatureDecoder

CHANNELS = (3, 64, 256, 512, 1024)


def features(batch: int = 1, size: int = 32) -> list[torch.Tensor]:
    return [torch.rand(batch, c, size >> i, size >> i) for i, c in enumerate(CHANNELS)]


def test_widths_are_those_of_the_paper_and_there_are_no_biases():
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


def test_the_decoder_is_positively_homogeneous():
    decoder = FeatureDecoder(CHANNELS).double()
    maps = [f.double() for f in features()]
    torch.testing.assert_close(decoder([3 * f for f in maps]), 3 * decoder(maps))


def test_the_output_depends_on_every_feature_map():
    decoder = FeatureDecoder(CHANNELS)
    maps = features()
    whole = decoder(maps)
    for i in range(5):
        without = [torch.zeros_like(f) if j == i else f for j, f in enumerate(maps)]
        assert not torch.equal(decoder(without), whole)


def test_fewer_levels_omit_the_deepest_feature_maps():
    decoder = FeatureDecoder(CHANNELS, levels=2)
    maps = features()
    assert [tuple(b[0].weight.shape[:2]) for b in (decoder.bottleneck, *decoder.up)] == [
        (128, 256),
        (64, 192),
        (64, 67),
    ]
    clean = decoder(maps)
    assert clean.shape == (1, 1, 32, 32)
    other = [*maps[:3], torch.rand_like(maps[3]), torch.rand_like(maps[4])]
    assert torch.equal(decoder(other), clean)


def test_without_image_feature_the_output_does_not_depend_on_the_image():
    decoder = FeatureDecoder(CHANNELS, image_feature=False)
    maps = features()
    assert decoder.up[-1][0].weight.shape[1] == 64
    assert torch.equal(decoder([torch.rand_like(maps[0]), *maps[1:]]), decoder(maps))


def test_the_last_block_is_float32_under_autocast():
    decoder = FeatureDecoder(CHANNELS)
    maps = features()
    exact = decoder(maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = decoder(maps)
        assert decoder.bottleneck(maps[-1]).dtype == torch.bfloat16
    assert mixed.dtype == torch.float32
    assert not torch.equal(mixed, mixed.bfloat16().float())  # finer than bfloat16 can say
    torch.testing.assert_close(mixed, exact, rtol=0.05, atol=1e-3)
