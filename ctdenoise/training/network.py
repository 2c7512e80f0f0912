"""The network at the start of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose

from ctdenoise.models.denoiser import ClipDenoiser, NetworkConfig, build_network
from ctdenoise.models.encoder import BatchNormMode, calibrate_batch_norm
from ctdenoise.models.weights import load_decoder, load_encoder


def initialise_network(
    network: Mapping[str, Any],
    *,
    gamma: float,
    batch_norm: BatchNormMode = "frozen",
    trainable_encoder: bool = False,
    encoder_weights: str | Path | None = None,
    decoder_weights: str | Path | None = None,
    calibration: tuple[Sequence[Mapping[str, Any]], Compose] | None = None,
    seed: int = 0,
) -> ClipDenoiser:
    """Build a network to train.

    Parameters
    ----------
    network
        Fields of :class:`~ctdenoise.models.denoiser.NetworkConfig`.
    gamma
        Of the feature augmentation.
    batch_norm, trainable_encoder
        See :class:`~ctdenoise.models.encoder.FeatureEncoder`.
    encoder_weights, decoder_weights
        safetensors files to start from; without them the weights are random.
    calibration
        Data list and transforms giving ``data["image"]`` as ``[1, H, W]``: a random encoder's BatchNorm statistics
        are set to those of these images.
    seed
        Of the random weights.
    """
    model = build_network(
        NetworkConfig(**network),
        gamma=gamma,
        batch_norm=batch_norm,
        trainable_encoder=trainable_encoder,
        seed=seed,
    )
    if encoder_weights is not None:
        load_encoder(model.encoder, Path(encoder_weights))
    elif calibration is not None:
        data, transforms = calibration
        images = torch.stack([torch.as_tensor(transforms(item)["image"]) for item in data])
        calibrate_batch_norm(model.encoder, images.expand(-1, 3, -1, -1))
    if decoder_weights is not None:
        load_decoder(model, Path(decoder_weights))
    return model
