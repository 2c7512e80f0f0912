"""From a training checkpoint to a model folder that ``ctdenoise run --model`` takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ctdenoise.errors import InputError
from ctdenoise.models.denoiser import build_network
from ctdenoise.models.zoo import ModelDescription, save_model
from ctdenoise.training.network import network_config


def export_model(
    checkpoint: str | Path | None,
    folder: str | Path,
    *,
    network: Mapping[str, Any],
    encoder: str,
    trainable_encoder: bool,
    description: Mapping[str, Any],
) -> ModelDescription:
    """Write ``encoder.safetensors``, ``decoder.safetensors`` and ``model.json`` from a checkpoint.

    Parameters
    ----------
    checkpoint
        A best checkpoint, which is the network's state, or a latest one, which holds it under ``model``.
    folder
        The model's folder; made if it is not there.
    network, encoder, trainable_encoder
        As in training. An encoder that was trained here is not called by the name of what it started from alone.
    description
        Fields of :class:`~ctdenoise.models.zoo.ModelDescription` other than network, encoder name and hashes.

    Raises
    ------
    InputError
        If there is no checkpoint.
    """
    if checkpoint is None:
        raise InputError(
            "expected a checkpoint of a training, found none", hint="train first, or give --checkpoint_file"
        )
    config = network_config(network, encoder)
    model = build_network(config)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model.load_state_dict(state.get("model", state))
    name = None if config.encoder is None else f"{encoder}-trained" if trainable_encoder else encoder
    return save_model(model, Path(folder), **{"encoder_name": name, **description}, network=asdict(config))
