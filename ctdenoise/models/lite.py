"""A small U-Net for machines without a GPU: the student of the large network, and the denoiser of photographs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from ctdenoise.models.residual import add_difference

#: Channels at 1/2, 1/4, 1/8 and 1/16.
WIDTHS = (32, 64, 96, 128)


def _convolutions(in_channels: int, out_channels: int, *, bias: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=bias),
        nn.ReLU(inplace=True),
    )


class LiteDenoiser(nn.Module):
    """A U-Net (Ronneberger et al., MICCAI 2015) on 2×2 pixels as channels (FFDNet, Zhang et al., IEEE TIP 2018).

    Nothing is computed at full resolution, which is half of the large network's cost. One million parameters,
    5.5 GMAC for a CT slice of 512².

    Parameters
    ----------
    channels
        Of the image; 1 for CT.
    context
        Slices in the input, of which the middle one is denoised, as in
        :class:`~ctdenoise.models.denoiser.NetworkConfig`.
    residual
        As in :class:`~ctdenoise.models.denoiser.NetworkConfig`; 0: the network's output is the image itself.
    level_equivariant
        As in :class:`~ctdenoise.models.denoiser.NetworkConfig`; no convolution has a bias. Excludes `residual`.
    widths
        Channels at 1/2, 1/4, 1/8 and 1/16.
    """

    def __init__(
        self,
        channels: int = 1,
        *,
        context: int = 1,
        residual: int = 0,
        level_equivariant: bool = False,
        widths: Sequence[int] = WIDTHS,
    ) -> None:
        super().__init__()
        self.context = context
        self.residual = residual
        self.level_equivariant = level_equivariant
        bias = not level_equivariant
        pairs = list(pairwise(widths))
        self.first = _convolutions(4 * channels * context, widths[0], bias=bias)
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(fine, coarse, 2, stride=2, bias=bias), *_convolutions(coarse, coarse, bias=bias))
            for fine, coarse in pairs
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2, bias=bias) for fine, coarse in pairs)
        self.merge = nn.ModuleList(_convolutions(fine, fine, bias=bias) for fine, _ in pairs)
        self.last = nn.Conv2d(widths[0], 4 * channels, 3, padding=1, bias=bias)
        if residual or level_equivariant:
            # Training starts from the identity.
            nn.init.zeros_(self.last.weight)
        if residual:
            nn.init.zeros_(cast("Tensor", self.last.bias))

    def forward(self, image: Tensor) -> Tensor:
        """Denoise ``[B, C, H, W]``, or the middle one of ``[B, context, H, W]``; H and W multiples of 16."""
        itself = image[:, self.context // 2 :] if self.context > 1 else image
        maps = [self.first(F.pixel_unshuffle(image, 2))]
        for down in self.down:
            maps.append(down(maps[-1]))
        x = maps.pop()
        for up, merge in zip(reversed(self.up), reversed(self.merge), strict=True):
            x = merge(up(x) + maps.pop())
        output = F.pixel_shuffle(self.last(x), 2)
        if self.level_equivariant:
            return itself[:, : output.shape[1]] - output
        return add_difference(itself, output, self.residual) if self.residual else output
