"""Export of a training checkpoint as a model folder for ``ctdenoise run --model``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ctdenoise.errors import InputError
from ctdenoise.models.clip import verified_name
from ctdenoise.models.denoiser import ClipDenoiser, build_network
from ctdenoise.models.zoo import ModelDescription, save_model
from ctdenoise.training.checkpoints import read_checkpoint
from ctdenoise.training.network import network_config

logger = logging.getLogger(__name__)


def export_model(
    checkpoint: str | Path | None,
    folder: str | Path,
    *,
    description: Mapping[str, Any],
    otherwise: Mapping[str, Any],
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

    Returns
    -------
    ModelDescription
        What was written to ``model.json``.

    Raises
    ------
    InputError
        If there is no checkpoint, or it holds another network than the one described.
    """
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
    config = network_config(recorded["network"], recorded["encoder"])
    model = build_network(config)
    try:
        model.load_state_dict(stored.get("model", stored))
    except RuntimeError as error:
        raise InputError(
            "expected a checkpoint of the network that the options describe, found another", path=path
        ) from error
    fields = {
        "encoder_name": _encoder_name(model, recorded),
        "hu_range": recorded["hu_range"],
        "training_data": recorded["training_data"],
        **description,
    }
    return save_model(model, Path(folder), **fields, network=asdict(config))


def _encoder_name(model: Any, recorded: Mapping[str, Any]) -> str | None:
    if not isinstance(model, ClipDenoiser):
        return None
    name: str = recorded["encoder"]
    if recorded["trainable_encoder"]:
        return f"{name}-trained"
    file = recorded["encoder_weights"]
    return verified_name(name, model.encoder, Path(file) if file else None)
