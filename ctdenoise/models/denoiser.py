"""The whole network: grey input, frozen encoder, feature augmentation, decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ctdenoise.models.augmentation import ProgressiveFeatureAugmentation
from ctdenoise.models.baselines import REDCNN, DnCNN
from ctdenoise.models.decoder import FeatureDecoder
from ctdenoise.models.encoder import BatchNormMode, FeatureEncoder, build_encoder
from ctdenoise.models.lite import LiteDenoiser
from ctdenoise.models.residual import add_difference

#: The deepest map is at 1/16, so the network takes sizes that are multiples of it.
SIZE_MULTIPLE = 16


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """What determines the layout of a network, as stored beside its weights.

    Parameters
    ----------
    architecture
        ``"clip"`` is the paper's; without an encoder are ``"lite"``, its student, of which `out_channels` and
        `residual` hold, and the baselines ``"dncnn"`` and ``"redcnn"``, of which only `out_channels` holds.
    encoder
        A layout :func:`~ctdenoise.models.encoder.build_encoder` knows; None for the others.
    grey_input
        How one channel becomes the encoder's three: ``"conv"`` learns a bias-free 1×1 convolution, as the paper
        does for CT; ``"repeat"`` repeats the channel.
    out_channels
        1 for CT and grey images, 3 for colour.
    align_corners, levels, image_feature
        See :class:`~ctdenoise.models.decoder.FeatureDecoder`.
    residual
        0 is the paper's: the decoder gives the image. N, odd, is our own: it gives the difference to the image, less
        its mean over squares of N × N pixels. Noise has no mean there, so that the mean HU of a region stay what they
        are by construction; and training, which starts from the image, learns noise instead of forever correcting
        its mean (noise is 0.1 to 2 % of the range of HU).

    Raises
    ------
    ValueError
        If a value is none of these, or they contradict one another.
    """

    architecture: Literal["clip", "lite", "dncnn", "redcnn"] = "clip"
    encoder: str | None = None
    grey_input: Literal["conv", "repeat"] = "repeat"
    out_channels: int = 1
    align_corners: bool = False
    levels: int = 4
    image_feature: bool = True
    residual: int = 0

    def __post_init__(self) -> None:
        if self.architecture not in ("clip", "lite", "dncnn", "redcnn"):
            raise ValueError(f"architecture: expected 'clip', 'lite', 'dncnn' or 'redcnn', found {self.architecture!r}")
        if (self.encoder is None) == (self.architecture == "clip"):
            wanted = "an encoder" if self.architecture == "clip" else "no encoder"
            raise ValueError(f"architecture {self.architecture!r}: expected {wanted}, found {self.encoder!r}")
        if self.residual < 0 or (self.residual and self.residual % 2 == 0):
            raise ValueError(f"residual: expected 0 or an odd number, found {self.residual}")
        if self.grey_input not in ("conv", "repeat"):
            raise ValueError(f"grey_input: expected 'conv' or 'repeat', found {self.grey_input!r}")
        if self.grey_input == "conv" and self.out_channels != 1:
            raise ValueError(
                "grey_input='conv' is for grey images: expected out_channels=1, "
                f"found {self.out_channels}; use grey_input='repeat' for colour"
            )

    @property
    def in_channels(self) -> int:
        """Channels of the image the network is given."""
        return 3 if self.architecture == "clip" and self.grey_input == "repeat" else self.out_channels


class ClipDenoiser(nn.Module):
    """*Transfer CLIP for Generalizable Image Denoising*: frozen features, learned decoder.

    Parameters
    ----------
    encoder
        Gives the five dense features.
    decoder
        Takes them to a clean image.
    grey_input, residual, gamma
        See :class:`NetworkConfig` and
        :class:`~ctdenoise.models.augmentation.ProgressiveFeatureAugmentation`.
    """

    def __init__(
        self,
        encoder: FeatureEncoder,
        decoder: FeatureDecoder,
        *,
        grey_input: Literal["conv", "repeat"] = "repeat",
        residual: int = 0,
        gamma: float = 0.025,
    ) -> None:
        super().__init__()
        self.residual = residual
        self.grey_input = nn.Conv2d(1, 3, 1, bias=False) if grey_input == "conv" else None
        self.encoder = encoder
        self.augmentation = ProgressiveFeatureAugmentation(gamma)
        self.decoder = decoder

    def forward(self, image: Tensor) -> Tensor:
        """Denoise.

        Parameters
        ----------
        image
            ``[B, 1, H, W]``, or ``[B, 3, H, W]`` where the grey input is repetition; values around [0, 1]
            (not clamped); H and W multiples of 16.

        Returns
        -------
        Tensor
            ``[B, out_channels, H, W]``, same units, not clamped.
        """
        coloured = image
        if self.grey_input is not None:
            coloured = self.grey_input(image)
        elif image.shape[1] == 1:
            coloured = image.expand(-1, 3, -1, -1)
        decoded: Tensor = self.decoder(self.augmentation(self.encoder(coloured)))
        if not self.residual:
            return decoded
        return add_difference(image, decoded, self.residual)


def build_network(
    config: NetworkConfig,
    *,
    gamma: float = 0.025,
    batch_norm: BatchNormMode = "frozen",
    trainable_encoder: bool = False,
    seed: int | None = None,
) -> nn.Module:
    """Build a network with random weights.

    Parameters
    ----------
    config
        The layout.
    gamma, batch_norm, trainable_encoder
        Matter in training only, and to a :class:`ClipDenoiser` only.
    seed
        Makes the initial weights repeatable without touching torch's global generator.
    """
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        if config.architecture == "lite":
            return LiteDenoiser(config.out_channels, residual=config.residual)
        if config.encoder is None:
            return {"dncnn": DnCNN, "redcnn": REDCNN}[config.architecture](config.out_channels)
        encoder = build_encoder(config.encoder, batch_norm=batch_norm, trainable=trainable_encoder)
        decoder = FeatureDecoder(
            encoder.channels,
            out_channels=config.out_channels,
            align_corners=config.align_corners,
            levels=config.levels,
            image_feature=config.image_feature,
        )
        if config.residual:
            nn.init.zeros_(decoder.last.weight)
        return ClipDenoiser(encoder, decoder, grey_input=config.grey_input, residual=config.residual, gamma=gamma)


def apply_to_any_size(network: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """Send ``[B, C, H, W]`` of any size through a network, reflected at the edges to multiples of 16."""
    rows, columns = image.shape[-2:]
    margins = ((0, 0), (0, 0), (0, -rows % SIZE_MULTIPLE), (0, -columns % SIZE_MULTIPLE))
    if any(after for _, after in margins):
        # NumPy reflects as often as it takes; torch refuses margins larger than the image.
        image = torch.from_numpy(np.pad(image.cpu().numpy(), margins, mode="reflect")).to(image.device)
    clean: Tensor = network(image.contiguous(memory_format=torch.channels_last))[..., :rows, :columns]
    return clean
