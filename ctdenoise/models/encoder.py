"""Image encoders: ResNets that return their feature maps at 1/1, 1/2, 1/4, 1/8 and 1/16 (paper §3.1)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from ctdenoise.models.choices import BatchNormMode

#: open_clip's ModifiedResNets: number of residual blocks in layer1…layer3, and number of stem channels.
CLIP_RESNETS: dict[str, tuple[tuple[int, int, int], int]] = {
    "RN50": ((3, 4, 6), 64),
    "RN101": ((3, 4, 23), 64),
    "RN50x4": ((4, 6, 10), 80),
    "RN50x16": ((6, 8, 18), 96),
}


class FeatureEncoder(nn.Module, ABC):
    """Base class of encoders: returns the image and four feature maps.

    Sub-classes set `channels` and implement :meth:`features`.

    Parameters
    ----------
    batch_norm
        See :class:`~ctdenoise.models.choices.BatchNormMode`; ``frozen`` also holds after ``model.train()``.
    trainable
        Whether the encoder's weights require gradients: False in the paper; True to pre-train an encoder, and for the
        ablation with an unfrozen encoder.
    level_equivariant
        Whether the BatchNorm layers only scale: their bias and running mean are 0 and stay 0, so that
        ``features(a * image) == a * features(image)`` for every ``a > 0``.

    Attributes
    ----------
    channels
        Channel counts of the image and the four feature maps, finest first.

    Raises
    ------
    ValueError
        If `batch_norm` is not one of its values, or not ``frozen`` with `level_equivariant`.
    """

    channels: tuple[int, ...]

    def __init__(
        self, *, batch_norm: str = BatchNormMode.FROZEN, trainable: bool = False, level_equivariant: bool = False
    ) -> None:
        super().__init__()
        self.batch_norm = BatchNormMode(batch_norm)
        self.trainable = trainable
        self.level_equivariant = level_equivariant
        if level_equivariant and self.batch_norm is not BatchNormMode.FROZEN:
            raise ValueError(f"level_equivariant: expected batch_norm 'frozen', found '{self.batch_norm}'")

    def freeze(self) -> None:
        """Apply the parameters to the layers; sub-classes call it after they have created them."""
        self.requires_grad_(self.trainable)
        if self.level_equivariant:
            for norm in batch_norms(self):
                nn.init.zeros_(norm.bias)
                norm.bias.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> FeatureEncoder:
        """Set training mode; frozen BatchNorm layers stay in evaluation mode."""
        super().train(mode)
        if self.batch_norm is BatchNormMode.FROZEN:
            for norm in batch_norms(self):
                norm.eval()
        return self

    @abstractmethod
    def features(self, image: Tensor) -> list[Tensor]:
        """Return the feature maps of `image` at 1/2, 1/4, 1/8 and 1/16."""

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode a batch of images.

        Parameters
        ----------
        image
            ``[B, 3, H, W]``, values nominally in [0, 1], without CLIP's mean/std normalisation (paper §3.1);
            H and W multiples of 16.

        Returns
        -------
        list of Tensor
            The image itself, ``[B, 3, H, W]``, and the feature maps at 1/2, 1/4, 1/8 and 1/16.
        """
        return [image, *self.features(image)]


def batch_norms(encoder: nn.Module) -> Iterator[nn.BatchNorm2d]:
    """Yield the BatchNorm layers of an encoder."""
    return (module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d))


class ClipResNetEncoder(FeatureEncoder):
    """open_clip's ``ModifiedResNet`` without layer4 and attention pooling.

    The map at 1/2 is the stem's output *before* its average pooling, which open_clip does not expose.

    Parameters
    ----------
    name
        ``RN50`` (the paper's), ``RN101``, ``RN50x4`` or ``RN50x16``.
    batch_norm, trainable, level_equivariant
        See :class:`FeatureEncoder`.
    """

    conv1: nn.Module
    bn1: nn.Module
    act1: nn.Module
    conv2: nn.Module
    bn2: nn.Module
    act2: nn.Module
    conv3: nn.Module
    bn3: nn.Module
    act3: nn.Module
    avgpool: nn.Module
    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module

    def __init__(
        self,
        name: str = "RN50",
        *,
        batch_norm: str = BatchNormMode.FROZEN,
        trainable: bool = False,
        level_equivariant: bool = False,
    ) -> None:
        super().__init__(batch_norm=batch_norm, trainable=trainable, level_equivariant=level_equivariant)
        from open_clip.modified_resnet import ModifiedResNet

        blocks, width = CLIP_RESNETS[name]
        # output_dim and heads concern only the layers that the next line deletes.
        resnet = ModifiedResNet(layers=(*blocks, 1), output_dim=1, heads=1, width=width)
        del resnet.layer4, resnet.attnpool
        self.channels = (3, width, 4 * width, 8 * width, 16 * width)
        for child_name, child in resnet.named_children():
            self.add_module(child_name, child)
        self.freeze()

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the outputs of the stem (before average pooling), layer1, layer2 and layer3."""
        stem = self.act1(self.bn1(self.conv1(image)))
        stem = self.act2(self.bn2(self.conv2(stem)))
        stem = self.act3(self.bn3(self.conv3(stem)))
        layer1 = self.layer1(self.avgpool(stem))
        layer2 = self.layer2(layer1)
        return [stem, layer1, layer2, self.layer3(layer2)]


class TimmResNetEncoder(FeatureEncoder):
    """A timm ResNet (torchvision's layout and tensor names), for the paper's comparison of encoders.

    Parameters
    ----------
    name
        A timm model whose first four feature maps are at 1/2, 1/4, 1/8 and 1/16, e.g. ``resnet50``.
    batch_norm, trainable, level_equivariant
        See :class:`FeatureEncoder`.

    Raises
    ------
    ValueError
        If the model's feature maps are at other scales.
    """

    def __init__(
        self,
        name: str,
        *,
        batch_norm: str = BatchNormMode.FROZEN,
        trainable: bool = False,
        level_equivariant: bool = False,
    ) -> None:
        super().__init__(batch_norm=batch_norm, trainable=trainable, level_equivariant=level_equivariant)
        import timm

        self.body = timm.create_model(name, features_only=True, out_indices=(0, 1, 2, 3), pretrained=False)
        scales = tuple(self.body.feature_info.reduction())
        if scales != (2, 4, 8, 16):
            raise ValueError(f"encoder {name!r}: expected feature maps at 1/(2, 4, 8, 16), found 1/{scales}")
        self.channels = (3, *self.body.feature_info.channels())
        self.freeze()

    def features(self, image: Tensor) -> list[Tensor]:
        """Return timm's first four feature maps."""
        maps: list[Tensor] = self.body(image)
        return maps


def build_encoder(
    name: str,
    *,
    batch_norm: str = BatchNormMode.FROZEN,
    trainable: bool = False,
    level_equivariant: bool = False,
) -> FeatureEncoder:
    """Build an encoder with random weights.

    Parameters
    ----------
    name
        A CLIP ResNet's name in open_clip (``RN50``, ``RN101``, ``RN50x4``, ``RN50x16``), or the name of a timm ResNet.
    batch_norm, trainable, level_equivariant
        See :class:`FeatureEncoder`.

    Raises
    ------
    ValueError
        If there is no encoder of that name.
    """
    if name in CLIP_RESNETS:
        return ClipResNetEncoder(name, batch_norm=batch_norm, trainable=trainable, level_equivariant=level_equivariant)
    import timm

    if timm.is_model(name):
        return TimmResNetEncoder(name, batch_norm=batch_norm, trainable=trainable, level_equivariant=level_equivariant)
    raise ValueError(f"encoder: expected one of {', '.join(CLIP_RESNETS)} or a timm ResNet, found {name!r}")


def calibrate_batch_norm(encoder: FeatureEncoder, images: Tensor) -> None:
    """Set the BatchNorm running statistics of an encoder with random weights to those of a batch of images.

    Parameters
    ----------
    encoder
        Its running statistics are replaced, also if they are frozen. If it is level-equivariant, the running variance
        becomes the mean square, the running mean stays 0, and each kernel's mean is subtracted from it: without biases,
        a feature of an image of positive values would otherwise be on or off everywhere.
    images
        ``[B, 3, H, W]``, values nominally in [0, 1].
    """
    if encoder.level_equivariant:
        _calibrate_scales(encoder, images)
        return
    mode, encoder.batch_norm = encoder.batch_norm, BatchNormMode.ADAPT
    try:
        update_bn([images], encoder)
    finally:
        encoder.batch_norm = mode
        encoder.train(encoder.training)


def _calibrate_scales(encoder: FeatureEncoder, images: Tensor) -> None:
    """Make kernels have zero mean, and each BatchNorm layer divide by the root mean square of what it is given."""
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data -= module.weight.data.mean((1, 2, 3), keepdim=True)
    hooks = [norm.register_forward_pre_hook(_set_scale) for norm in batch_norms(encoder)]
    try:
        with torch.no_grad():
            encoder(images)
    finally:
        for hook in hooks:
            hook.remove()


def _set_scale(norm: nn.Module, inputs: tuple[Tensor]) -> None:
    cast("Tensor", norm.running_var).copy_(inputs[0].square().mean((0, 2, 3)))
