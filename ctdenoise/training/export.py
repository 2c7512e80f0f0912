"""The network of a training checkpoint, and its export as a model folder for ``ctdenoise run --model``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ctdenoise.errors import InputError
from ctdenoise.models.clip import verified_name
from ctdenoise.models.denoiser import ClipDenoiser, build_network
from ctdenoise.models.zoo import ModelDescription, save_model
from ctdenoise.training.checkpoints import read_checkpoint
from ctdenoise.training.network import for_single_slices, network_config

logger = logging.getLogger(__name__)


def export_model(
    checkpoint: str | Path | None,
    folder: str | Path,
    *,
    description: Mapping[str, Any],
    otherwise: Mapping[str, Any],
    single_slices: bool = False,
) -> ModelDescription:
    """Write ``encoder.safetensors``, ``decoder.safetensors`` and ``model.json`` from a checkpoint.

    Network, encoder, range of HU and training data are those that the checkpoint records. The encoder's name gets the
    suffix ``-trained`` if it was trained, or ``-unverified`` if it is called CLIP's and not known to be that (see
    :func:`~ctdenoise.models.clip.verified_name`).

    Parameters
    ----------
    checkpoint
        A checkpoint ``best_*.pt`` or ``latest_*.pt``.
    folder
        The model's folder; created if absent.
    description
        Fields of :class:`~ctdenoise.models.zoo.ModelDescription` other than network and hashes; they replace what the
        checkpoint records.
    otherwise
        The ``model`` of :class:`~ctdenoise.training.record.TrainingRecord`, for checkpoints of earlier versions, which
        record nothing.
    single_slices
        Export a network that sees neighbouring slices as one that sees the slice only, with the output that it has
        where the slice itself stands for its neighbours.

    Returns
    -------
    ModelDescription
        What was written to ``model.json``.

    Raises
    ------
    InputError
        If there is no checkpoint, or it holds another network than the one described.
    """
    network, recorded = _trained(checkpoint, otherwise)
    config = network_config(recorded["network"], recorded["encoder"])
    if single_slices:
        network, config = for_single_slices(network, config)
    fields = {
        "encoder_name": _encoder_name(network, recorded),
        "hu_range": recorded["hu_range"],
        "training_data": recorded["training_data"],
        **description,
    }
    return save_model(network, Path(folder), **fields, network=asdict(config))


def trained_network(checkpoint: str | Path | None, *, otherwise: Mapping[str, Any]) -> torch.nn.Module:
    """Return the network of a checkpoint, as the checkpoint describes it; parameters and errors as `export_model`."""
    return _trained(checkpoint, otherwise)[0]


def _trained(checkpoint: str | Path | None, otherwise: Mapping[str, Any]) -> tuple[torch.nn.Module, dict[str, Any]]:
    """Return the network of a checkpoint, and its description."""
    if checkpoint is None:
        raise InputError(
            "expected a checkpoint of a training in --output_dir, found none",
            hint="train first, or give --checkpoint_file",
        )
    path = Path(checkpoint)
    stored = read_checkpoint(path)
    if "record" not in stored:
        logger.warning("%s: no record of the training; its network and encoder are taken from the options", path)
    recorded = dict(stored["record"]["model"] if "record" in stored else otherwise)
    network = build_network(network_config(recorded["network"], recorded["encoder"]))
    try:
        network.load_state_dict(stored.get("model", stored))
    except RuntimeError as error:
        raise InputError(
            "expected a checkpoint of the network that the options describe, found another", path=path
        ) from error
    return network, recorded


def _encoder_name(model: torch.nn.Module, recorded: Mapping[str, Any]) -> str | None:
    if not isinstance(model, ClipDenoiser):
        return None
    name: str = recorded["encoder"]
    if recorded["trainable_encoder"]:
        return f"{name}-trained"
    file = recorded["encoder_weights"]
    return verified_name(name, model.encoder, Path(file) if file else None)
