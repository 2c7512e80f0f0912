"""The complete network: grey input, frozen encoder, feature augmentation, decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctdenoise.models.augmentation import ProgressiveFeatureAugmentation
from ctdenoise.models.baselines import REDCNN, DnCNN
from ctdenoise.models.choices import Architecture, BatchNormMode, GreyInput
from ctdenoise.models.decoder import FeatureDecoder
from ctdenoise.models.encoder import FeatureEncoder, build_encoder
from ctdenoise.models.lite import LiteDenoiser
from ctdenoise.models.residual import add_difference

#: Height and width of the network's input must be multiples of this: the encoder's deepest map is at 1/16.
SIZE_MULTIPLE = 16


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The layout of a network, as stored beside its weights.

    Parameters
    ----------
    architecture
        See :class:`~ctdenoise.models.choices.Architecture`. Of the parameters below, ``lite`` uses `out_channels` and
        `residual`; ``dncnn`` and ``redcnn`` use `out_channels`.
    encoder
        Name of the encoder's layout for :func:`~ctdenoise.models.encoder.build_encoder`; None unless `architecture` is
        ``clip``.
    grey_input
        See :class:`~ctdenoise.models.choices.GreyInput`.
    out_channels
        Channels of the denoised image: 1 for CT and grey images, 3 for colour.
    align_corners, levels, image_feature
        See :class:`~ctdenoise.models.decoder.FeatureDecoder`.
    residual
        0: the decoder's output is the denoised image, as in the paper. An odd number N: the decoder's output minus its
        moving average over N × N pixels is added to the input image. This keeps the mean HU of regions, because noise
        has zero mean over such a window. It also speeds up training, which starts at the input image: noise is 0.1 to
        2 % of the range of HU, so without it most updates correct the mean.
    level_equivariant
        No biases, and the output is the image less the decoder's output, so that ``f(a * image) == a * f(image)`` for
        every ``a > 0`` (Mohan et al., ICLR 2020): a network trained at one noise level holds at every other one. For
        ``clip`` and ``lite``, with `residual` 0; ``clip`` needs an encoder whose BatchNorm layers only scale, see
        :class:`~ctdenoise.models.encoder.FeatureEncoder`.
    context
        Slices that the network sees, as channels in order along the slice normal: 1, or an odd number N for a slice
        between (N − 1) / 2 neighbours on each side, of which the middle one is denoised. Grey images only; ``clip``
        with `grey_input` ``repeat`` has 3 input channels, and so at most 3 slices.

    Raises
    ------
    ValueError
        If a value is not allowed, or values contradict each other.
    """

    architecture: Architecture = Architecture.CLIP
    encoder: str | None = None
    grey_input: GreyInput = GreyInput.REPEAT
    out_channels: int = 1
    align_corners: bool = False
    levels: int = 4
    image_feature: bool = True
    residual: int = 0
    level_equivariant: bool = False
    context: int = 1

    def __post_init__(self) -> None:
        # Configurations and model.json have plain strings.
        object.__setattr__(self, "architecture", Architecture(self.architecture))
        object.__setattr__(self, "grey_input", GreyInput(self.grey_input))
        if (self.encoder is None) == (self.architecture is Architecture.CLIP):
            expected = "an encoder" if self.architecture is Architecture.CLIP else "no encoder"
            raise ValueError(f"architecture '{self.architecture}': expected {expected}, found {self.encoder!r}")
        if self.residual < 0 or (self.residual and self.residual % 2 == 0):
            raise ValueError(f"residual: expected 0 or an odd number, found {self.residual}")
        if self.level_equivariant and (
            self.architecture not in (Architecture.CLIP, Architecture.LITE) or self.residual
        ):
            raise ValueError(
                "level_equivariant: expected architecture 'clip' or 'lite' with residual 0, "
                f"found '{self.architecture}' with residual {self.residual}"
            )
        if self.grey_input is GreyInput.CONV and self.out_channels != 1:
            raise ValueError(
                "grey_input='conv' is for grey images: expected out_channels=1, "
                f"found {self.out_channels}; use grey_input='repeat' for colour"
            )
        self._check_context()

    def _check_context(self) -> None:
        if self.context < 1 or self.context % 2 == 0:
            raise ValueError(f"context: expected an odd number of slices, found {self.context}")
        if self.context == 1:
            return
        by_clip = self.architecture is Architecture.CLIP and self.grey_input is GreyInput.REPEAT and self.context == 3
        if self.out_channels != 1 or not (by_clip or self.architecture is Architecture.LITE):
            raise ValueError(
                "context: expected out_channels=1 and architecture 'lite', or 'clip' with grey_input='repeat' and 3 "
                f"slices; found {self.context} slices, architecture '{self.architecture}', "
                f"grey_input='{self.grey_input}', out_channels={self.out_channels}"
            )

    @property
    def in_channels(self) -> int:
        """Number of channels of the network's input image."""
        if self.context > 1:
            return self.context
        repeated = self.architecture is Architecture.CLIP and self.grey_input is GreyInput.REPEAT
        return 3 if repeated else self.out_channels


class ClipDenoiser(nn.Module):
    """The network of *Transfer CLIP for Generalizable Image Denoising*: frozen encoder, trained decoder.

    Parameters
    ----------
    encoder
        Gives the image and its four feature maps.
    decoder
        Reconstructs the denoised image from them.
    grey_input, residual, level_equivariant, context, gamma
        See :class:`NetworkConfig` and
        :class:`~ctdenoise.models.augmentation.ProgressiveFeatureAugmentation`.
    """

    def __init__(
        self,
        encoder: FeatureEncoder,
        decoder: FeatureDecoder,
        *,
        grey_input: GreyInput = GreyInput.REPEAT,
        residual: int = 0,
        level_equivariant: bool = False,
        context: int = 1,
        gamma: float = 0.025,
    ) -> None:
        super().__init__()
        self.residual = residual
        self.level_equivariant = level_equivariant
        self.context = context
        self.grey_input = nn.Conv2d(1, 3, 1, bias=False) if GreyInput(grey_input) is GreyInput.CONV else None
        self.encoder = encoder
        self.augmentation = ProgressiveFeatureAugmentation(gamma)
        self.decoder = decoder

    def forward(self, image: Tensor) -> Tensor:
        """Denoise a batch of images.

        Parameters
        ----------
        image
            ``[B, 1, H, W]``, or also ``[B, 3, H, W]`` if `grey_input` is ``repeat``: with a `context` of 3 the previous
            slice, the slice itself and the next; values nominally in [0, 1], not clamped; H and W multiples of 16.

        Returns
        -------
        Tensor
            ``[B, out_channels, H, W]``, in the units of the input, not clamped.
        """
        three_channels = image
        if self.grey_input is not None:
            three_channels = self.grey_input(image)
        elif image.shape[1] == 1:
            three_channels = image.expand(-1, 3, -1, -1)
        decoded: Tensor = self.decoder(self.augmentation(self.encoder(three_channels)))
        if not self.residual and not self.level_equivariant:
            return decoded
        itself = image if image.shape[1] == 1 else image[:, self.context // 2 :]
        if self.level_equivariant:
            return itself[:, : decoded.shape[1]] - decoded
        return add_difference(itself, decoded, self.residual)


def build_network(
    config: NetworkConfig,
    *,
    gamma: float = 0.025,
    batch_norm: str = BatchNormMode.FROZEN,
    trainable_encoder: bool = False,
    seed: int | None = None,
) -> nn.Module:
    """Build a network with random weights.

    Parameters
    ----------
    config
        The layout.
    gamma, batch_norm, trainable_encoder
        See :class:`ClipDenoiser` and :class:`~ctdenoise.models.encoder.FeatureEncoder`; they affect training only, and
        other architectures ignore them.
    seed
        Seed of the initial weights; None draws them from torch's global generator, which a seed leaves unchanged.
    """
    # The initial weights are drawn on the CPU; torch.manual_seed would also reseed the generators of GPUs.
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        if config.architecture is Architecture.LITE:
            return LiteDenoiser(
                config.out_channels,
                context=config.context,
                residual=config.residual,
                level_equivariant=config.level_equivariant,
            )
        if config.encoder is None:
            baselines = {Architecture.DNCNN: DnCNN, Architecture.REDCNN: REDCNN}
            return baselines[config.architecture](config.out_channels)
        encoder = build_encoder(
            config.encoder,
            batch_norm=batch_norm,
            trainable=trainable_encoder,
            level_equivariant=config.level_equivariant,
        )
        decoder = FeatureDecoder(
            encoder.channels,
            out_channels=config.out_channels,
            align_corners=config.align_corners,
            levels=config.levels,
            image_feature=config.image_feature,
        )
        if config.residual or config.level_equivariant:
            nn.init.zeros_(decoder.last.weight)
        return ClipDenoiser(
            encoder,
            decoder,
            grey_input=config.grey_input,
            residual=config.residual,
            level_equivariant=config.level_equivariant,
            context=config.context,
            gamma=gamma,
        )


def apply_to_any_size(network: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """Apply a network to images of any size, extended by reflection to multiples of :data:`SIZE_MULTIPLE`.

    Parameters
    ----------
    network
        Takes and returns ``[B, C, H, W]``, H and W multiples of :data:`SIZE_MULTIPLE`.
    image
        ``[B, C, H, W]``.

    Returns
    -------
    Tensor
        The network's output, cropped to the height and width of `image`.
    """
    rows, columns = image.shape[-2:]
    extended = _extend(_extend(image, axis=-2), axis=-1)
    clean: Tensor = network(extended.contiguous(memory_format=torch.channels_last))[..., :rows, :columns]
    return clean


def _extend(image: Tensor, *, axis: int) -> Tensor:
    """Extend `axis` at its end, by reflection, to the next multiple of :data:`SIZE_MULTIPLE`."""
    length = image.shape[axis]
    missing = -length % SIZE_MULTIPLE
    while missing:
        # One reflection gives at most length - 1 pixels; a single pixel has nothing to reflect and is repeated.
        margin = min(missing, max(1, length - 1))
        padding = (0, margin, 0, 0) if axis == -1 else (0, 0, 0, margin)
        image = F.pad(image, padding, mode="reflect" if length > 1 else "replicate")
        missing -= margin
        length += margin
    return image
