"""Faster inference: fold BatchNorm into the convolutions, compute the coarse decoder maps in half precision."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ctdenoise.models.denoiser import ClipDenoiser


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Return a copy for inference in which each BatchNorm layer is folded into the convolution before it.

    The result is the same except for float32 rounding. A network without BatchNorm layers is returned unchanged, not
    copied.
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
    """Return a copy whose decoder computes its maps at 1/16, 1/8 and 1/4 in half precision.

    These maps are a third of the computation, and rounding them changes HU by about 0.01. The maps at 1/2 and 1/1 stay
    in float32, because one step of bfloat16 is 8 HU at 0 HU; so does the encoder, whose last layer amplifies rounding
    to 2 HU at metal.

    Parameters
    ----------
    network
        The network.
    dtype
        ``torch.bfloat16`` or ``torch.float16``.
    """
    halved = deepcopy(network)
    for block in (halved.decoder.bottleneck, *halved.decoder.up[:-2]):
        block.to(dtype)
    return halved
