"""The trained decoder: from the encoder's feature maps to a denoised image (paper §3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _conv_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return two bias-free 3×3 convolutions, each followed by a LeakyReLU of slope 0.2."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
    )


class FeatureDecoder(nn.Module):
    """Four ×2 upsampling blocks with skip connections, without biases and without a global residual connection.

    Without biases the decoder is positively homogeneous: features scaled by a > 0 give an image scaled by a. The last
    block, at full resolution, always computes in float32 or better, also under autocast: one step of bfloat16 is 8 HU
    at 0 HU.

    Parameters
    ----------
    channels
        Channel counts of the encoder's maps at 1/1, 1/2, 1/4, 1/8 and 1/16; ``(3, 64, 256, 512, 1024)`` for RN50,
        which gives the paper's decoder widths 512, 256, 128, 64, 64.
    out_channels
        Channels of the denoised image: 1 for CT, 3 for colour.
    align_corners
        Sampling positions of bilinear upsampling, as in :func:`torch.nn.functional.interpolate`. The authors' weights
        were trained with True; only with False (half-pixel centres) does a tile give the same result as the whole
        image.
    levels
        Number of feature maps used, finest first: 4 in the paper, fewer in its ablation.
    image_feature
        Whether the noisy image is also given to the last block, as in the paper; False for its ablation.

    Raises
    ------
    ValueError
        If `levels` is not 1 to 4.
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        out_channels: int = 1,
        align_corners: bool = False,
        levels: int = 4,
        image_feature: bool = True,
    ) -> None:
        super().__init__()
        if not 1 <= levels <= 4:
            raise ValueError(f"levels: expected 1 to 4, found {levels}")
        self.align_corners = align_corners
        self.levels = levels
        self.image_feature = image_feature
        widths = [channels[-1] // divisor for divisor in (2, 4, 8, 16, 16)][-levels - 1 :]
        skips = [channels[0] if image_feature else 0, *channels[1:levels]]
        self.bottleneck = _conv_block(channels[levels], widths[0])
        self.up = nn.ModuleList(
            _conv_block(below + skip, width)
            for below, skip, width in zip(widths[:-1], reversed(skips), widths[1:], strict=True)
        )
        self.last = nn.Conv2d(widths[-1], out_channels, 3, padding=1, bias=False)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Reconstruct the image from the features.

        Parameters
        ----------
        features
            The image and the encoder's four feature maps, finest first.

        Returns
        -------
        Tensor
            ``[B, out_channels, H, W]`` float32, in the units of the input image, not clamped.
        """
        image, *maps = features[: self.levels + 1]
        x = self.bottleneck(maps[-1].to(next(self.bottleneck.parameters()).dtype))
        for block, skip in zip(self.up, reversed(maps[:-1]), strict=False):
            dtype = next(block.parameters()).dtype
            x = block(torch.cat((self._upsample(x).to(dtype), skip.to(dtype)), dim=1))
        with torch.autocast(x.device.type, enabled=False):
            dtype = torch.promote_types(x.dtype, torch.float32)
            x = self._upsample(x.to(dtype))
            if self.image_feature:
                x = torch.cat((x, image.to(dtype)), dim=1)
            clean: Tensor = self.last(self.up[-1](x))
        return clean

    def _upsample(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=self.align_corners)
