"""Export of a training checkpoint as a model folder for ``ctdenoise run --model``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ctdenoise.errors import InputError
from ctdenoise.models.clip import verified_name
from ctdenoise.models.denoiser import ClipDenoiser, build_network
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
    encoder_weights: str | Path | None = None,
) -> ModelDescription:
    """Write ``encoder.safetensors``, ``decoder.safetensors`` and ``model.json`` from a checkpoint.

    Parameters
    ----------
    checkpoint
        A checkpoint ``best_*.pt``, which is the network's state, or ``latest_*.pt``, which holds it under ``model``.
    folder
        The model's folder; created if absent.
    network, encoder, trainable_encoder, encoder_weights
        As in the training. The encoder's name gets the suffix ``-trained`` if it was trained, or ``-unverified`` if it
        is called CLIP's and not known to be that (see :func:`~ctdenoise.models.clip.verified_name`).
    description
        Fields of :class:`~ctdenoise.models.zoo.ModelDescription` other than network and hashes; `encoder_name`
        replaces the name above.

    Returns
    -------
    ModelDescription
        What was written to ``model.json``.

    Raises
    ------
    InputError
        If there is no checkpoint.
    """
    if checkpoint is None:
        raise InputError(
            "expected a checkpoint of a training in --output_dir, found none",
            hint="train first, or give --checkpoint_file",
        )
    config = network_config(network, encoder)
    model = build_network(config)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model.load_state_dict(state.get("model", state))
    name = None
    if isinstance(model, ClipDenoiser):
        file = Path(encoder_weights) if encoder_weights else None
        name = f"{encoder}-trained" if trainable_encoder else verified_name(encoder, model.encoder, file)
    return save_model(model, Path(folder), **{"encoder_name": name, **description}, network=asdict(config))
