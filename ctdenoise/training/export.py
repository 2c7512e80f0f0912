"""From a training checkpoint to a model folder that ``ctdenoise run --model`` takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ctdenoise.models.zoo import save_model
from ctdenoise.training.network import initialise_network


def export_model(
    checkpoint: str | Path, folder: str | Path, *, network: Mapping[str, Any], description: Mapping[str, Any]
) -> None:
    """Write ``encoder.safetensors``, ``decoder.safetensors`` and ``model.json`` from a checkpoint.

    Parameters
    ----------
    checkpoint
        What MONAI's ``CheckpointSaver`` wrote, with the network under ``model``.
    folder
        The model's folder; made if it is not there.
    network
        Fields of :class:`~ctdenoise.models.denoiser.NetworkConfig`.
    description
        Fields of :class:`~ctdenoise.models.zoo.ModelDescription` other than network and hashes.
    """
    model = initialise_network(network, gamma=0.0)
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["model"])
    save_model(model, Path(folder), network=network, **description)
