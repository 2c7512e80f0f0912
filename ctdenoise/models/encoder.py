"""Dense features of a ResNet image encoder at 1/1, 1/2, 1/4, 1/8 and 1/16 (paper §3.1)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

BatchNormMode = Literal["frozen", "adapt"]

#: open_clip's ModifiedResNets: residual blocks in layer1…layer3, and stem width.
CLIP_RESNETS: dict[str, tuple[tuple[int, int, int], int]] = {
    "RN50": ((3, 4, 6), 64),
    "RN101": ((3, 4, 23), 64),
    "RN50x4": ((4, 6, 10), 80),
    "RN50x16": ((6, 8, 18), 96),
}


class FeatureEncoder(nn.Module, ABC):
    """What the decoder needs of an encoder: five maps and their channel counts.

    Sub-classes set `channels` and implement :meth:`features`.

    Parameters
    ----------
    batch_norm
        ``"frozen"``: running statistics never change and are always the ones used, also after ``model.train()``.
        ``"adapt"``: in training, BatchNorm uses batch statistics and its running statistics drift, as happens in
        the paper's reference implementation although its parameters do not require gradients.
    trainable
        Let the weights learn. Off in the paper; on for pre-training an encoder and for the unfrozen ablation.
    """

    channels: tuple[int, ...]

    def __init__(self, *, batch_norm: BatchNormMode = "frozen", trainable: bool = False) -> None:
        super().__init__()
        if batch_norm not in ("frozen", "adapt"):
            raise ValueError(f"batch_norm: expected 'frozen' or 'adapt', found {batch_norm!r}")
        self.batch_norm = batch_norm
        self.trainable = trainable

    def freeze(self) -> None:
        """Apply `trainable` and `batch_norm` to the layers; sub-classes call it once these exist."""
        self.requires_grad_(self.trainable)
        self.train(self.training)

    def train(self, mode: bool = True) -> FeatureEncoder:
        """Switch to training mode, in which frozen BatchNorm layers stay in evaluation."""
        super().train(mode)
        if self.batch_norm == "frozen":
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    @abstractmethod
    def features(self, image: Tensor) -> list[Tensor]:
        """Return the maps at 1/2, 1/4, 1/8 and 1/16 of `image`."""

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode an image.

        Parameters
        ----------
        image
            ``[B, 3, H, W]``, values around [0, 1], without CLIP's mean/std normalisation (paper §3.1);
            H and W are multiples of 16.

        Returns
        -------
        list of Tensor
            The image itself ``[B, 3, H, W]`` and the maps at 1/2, 1/4, 1/8 and 1/16.
        """
        return [image, *self.features(image)]


class ClipResNetEncoder(FeatureEncoder):
    """open_clip's ``ModifiedResNet`` without layer4 and attention pool.

    The stem map is taken *before* its average pool, at 1/2, which open_clip does not expose.

    Parameters
    ----------
    name
        ``RN50`` (the paper's), ``RN101``, ``RN50x4`` or ``RN50x16``.
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

    def __init__(self, name: str = "RN50", *, batch_norm: BatchNormMode = "frozen", trainable: bool = False) -> None:
        super().__init__(batch_norm=batch_norm, trainable=trainable)
        from open_clip.modified_resnet import ModifiedResNet

        blocks, width = CLIP_RESNETS[name]
        # Heads and output size shape only what is dropped on the next lines.
        resnet = ModifiedResNet(layers=(*blocks, 1), output_dim=1, heads=1, width=width)
        del resnet.layer4, resnet.attnpool
        self.channels = (3, width, 4 * width, 8 * width, 16 * width)
        for child_name, child in resnet.named_children():
            self.add_module(child_name, child)
        self.freeze()

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the stem map before its average pool, and those of layer1, layer2 and layer3."""
        stem = self.act1(self.bn1(self.conv1(image)))
        stem = self.act2(self.bn2(self.conv2(stem)))
        stem = self.act3(self.bn3(self.conv3(stem)))
        layer1 = self.layer1(self.avgpool(stem))
        layer2 = self.layer2(layer1)
        return [stem, layer1, layer2, self.layer3(layer2)]


class TimmResNetEncoder(FeatureEncoder):
    """A timm ResNet (torchvision's layout and tensor names), for the paper's comparison of representations.

    Parameters
    ----------
    name
        A timm model whose first four feature maps are at 1/2, 1/4, 1/8 and 1/16, e.g. ``resnet50``.

    Raises
    ------
    ValueError
        If the model's maps are at other scales.
    """

    def __init__(self, name: str, *, batch_norm: BatchNormMode = "frozen", trainable: bool = False) -> None:
        super().__init__(batch_norm=batch_norm, trainable=trainable)
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


def build_encoder(name: str, *, batch_norm: BatchNormMode = "frozen", trainable: bool = False) -> FeatureEncoder:
    """Build an encoder, randomly initialised: a CLIP ResNet by its open_clip name, else a timm ResNet by its own.

    Raises
    ------
    ValueError
        If neither knows the name.
    """
    if name in CLIP_RESNETS:
        return ClipResNetEncoder(name, batch_norm=batch_norm, trainable=trainable)
    import timm

    if timm.is_model(name):
        return TimmResNetEncoder(name, batch_norm=batch_norm, trainable=trainable)
    raise ValueError(f"encoder: expected one of {', '.join(CLIP_RESNETS)} or a timm ResNet, found {name!r}")


@torch.no_grad()
def calibrate_batch_norm(encoder: FeatureEncoder, images: Tensor) -> None:
    """Set the running statistics to those of a batch of images, as a randomly initialised encoder needs.

    Parameters
    ----------
    images
        ``[B, 3, H, W]``, values around [0, 1].
    """
    norms = [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average: one batch gives exactly its statistics
        norm.train()
    encoder(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    encoder.train(encoder.training)
