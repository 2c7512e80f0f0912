"""Baseline networks without an encoder, trained with the same data, noise, steps and seeds for comparison."""

from __future__ import annotations

from torch import Tensor, nn


class DnCNN(nn.Module):
    """DnCNN, *Beyond a Gaussian Denoiser* (Zhang et al., IEEE TIP 2017): 17 layers that predict the noise.

    Parameters
    ----------
    channels
        Number of image channels; 1 for CT, 3 for colour.
    """

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, 64, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(15):
            layers += [nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
        self.noise = nn.Sequential(*layers, nn.Conv2d(64, channels, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        """Denoise ``[B, C, H, W]`` of any height and width."""
        clean: Tensor = image - self.noise(image)
        return clean


class REDCNN(nn.Module):
    """RED-CNN, *Low-Dose CT with a Residual Encoder-Decoder CNN* (Chen et al., IEEE TMI 2017).

    Five unpadded 5×5 convolutions and five transposed convolutions, 96 filters each, with three additive skip
    connections.

    Parameters
    ----------
    channels
        Number of image channels; 1 for CT, 3 for colour.
    """

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Conv2d(channels if i == 0 else 96, 96, 5) for i in range(5))
        self.up = nn.ModuleList(nn.ConvTranspose2d(96, channels if i == 4 else 96, 5) for i in range(5))
        self.act = nn.ReLU()

    def forward(self, image: Tensor) -> Tensor:
        """Denoise ``[B, C, H, W]``; H and W must be at least 21."""
        maps = [image]
        for layer in self.down:
            maps.append(self.act(layer(maps[-1])))
        x = maps[5]
        for layer, skip in zip(self.up, (maps[4], None, maps[2], None, maps[0]), strict=True):
            x = layer(x)
            x = self.act(x if skip is None else x + skip)
        return x
