"""A network as it is run: BatchNorm folded into the convolutions, the coarse maps in half precision where that pays."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ctdenoise.models.denoiser import ClipDenoiser


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Return a copy for inference in which each BatchNorm layer is part of the convolution before it.

    Exact but for float32 rounding. A network without such layers is returned itself.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network
    folded = deepcopy(network).eval()
    for module in list(folded.modules()):
        for (first, convolution), (second, norm) in pairwise(module.named_children()):
            if isinstance(convolution, nn.Conv2d) and type(norm) is nn.BatchNorm2d:
                setattr(module, first, fuse_conv_bn_eval(convolution, norm))
                setattr(module, second, nn.Identity())
    return folded


def halve_coarse(network: ClipDenoiser, dtype: torch.dtype) -> ClipDenoiser:
    """Return a copy whose decoder computes its maps at 1/16, 1/8 and 1/4 in a type of half precision.

    They are a third of all work, say little of the noise, and their rounding moves HU by about 0.01. What must stay
    float32: the image and the maps at 1/2, as a step of bfloat16 is 8 HU at 0 HU, and the encoder, whose last layer
    turns rounding into 2 HU where there is metal.
    """
    halved = deepcopy(network)
    for block in (halved.decoder.bottleneck, *halved.decoder.up[:-2]):
        block.to(dtype)
    return halved
