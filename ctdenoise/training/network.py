"""The network to train: construction, initial weights, and inference on whole images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from monai.inferers import SimpleInferer
from monai.transforms import Compose
from torch import Tensor

from ctdenoise.models.choices import Architecture, BatchNormMode
from ctdenoise.models.denoiser import SIZE_MULTIPLE, ClipDenoiser, NetworkConfig, apply_to_any_size, build_network
from ctdenoise.models.encoder import calibrate_batch_norm
from ctdenoise.models.lite import LiteDenoiser
from ctdenoise.models.sources import encoder_source, load_source
from ctdenoise.models.weights import decoder_state, load_state, read_state
from ctdenoise.models.zoo import DECODER_FILE, model_folder

#: Weights of the first convolution of a ``lite`` network.
_FIRST = "first.0.weight"


def network_config(network: Mapping[str, Any], encoder: str | None) -> NetworkConfig:
    """Return the layout for a bundle's ``network`` and ``encoder``; only the ``clip`` architecture has an encoder."""
    has_encoder = network.get("architecture", Architecture.CLIP) == Architecture.CLIP
    return NetworkConfig(**network, encoder=encoder_source(encoder).layout if encoder and has_encoder else None)


def initialise_network(
    network: Mapping[str, Any],
    *,
    encoder: str | None,
    gamma: float = 0.0,
    batch_norm: str = BatchNormMode.FROZEN,
    trainable_encoder: bool = False,
    encoder_weights: str | Path | None = None,
    decoder_weights: str | Path | None = None,
    seed: int = 0,
) -> torch.nn.Module:
    """Build a network to train, with initial weights.

    Parameters
    ----------
    network
        Fields of :class:`~ctdenoise.models.denoiser.NetworkConfig` except ``encoder``.
    encoder
        Name of the encoder, see :class:`~ctdenoise.models.sources.EncoderSource`; None for a network without one.
    gamma
        γ of :class:`~ctdenoise.models.augmentation.ProgressiveFeatureAugmentation`.
    batch_norm, trainable_encoder
        See :class:`~ctdenoise.models.encoder.FeatureEncoder`.
    encoder_weights
        A file with the encoder's weights, if they cannot be downloaded.
    decoder_weights
        A safetensors file with the decoder's initial weights, or the name of a model; without it they are random. Those
        of a ``lite`` network for single slices also begin one with `context`, which then ignores the neighbours.
    seed
        Seed of the random weights.

    Raises
    ------
    InputError
        If a weights file is not found, or belongs to another network.
    """
    config = network_config(network, encoder)
    model = build_network(config, gamma=gamma, batch_norm=batch_norm, trainable_encoder=trainable_encoder, seed=seed)
    if isinstance(model, ClipDenoiser) and encoder:
        load_source(model.encoder, encoder_source(encoder), Path(encoder_weights) if encoder_weights else None)
    if decoder_weights is not None:
        path = Path(decoder_weights)
        if not path.exists() and not path.suffix:
            path = model_folder(path) / DECODER_FILE
        state = read_state(path)
        if isinstance(model, LiteDenoiser):
            state = with_neighbours_ignored(state, model)
        load_state(model, state, decoder_state(model), path)
    return model


def with_neighbours_ignored(state: Mapping[str, Tensor], model: LiteDenoiser) -> dict[str, Tensor]:
    """Give the first convolution of a network for single slices the input channels of one with neighbours, as zeros.

    Parameters
    ----------
    state
        Weights of a network with any number of input channels.
    model
        The network that they are for. Where the input channels of `state` are not those of a single slice, it is
        returned as it is.
    """
    own = model.state_dict()[_FIRST]
    channels = own.shape[1] // model.context
    if _FIRST not in state or state[_FIRST].shape[1] != channels:
        return dict(state)
    weight = torch.zeros_like(own)
    weight[:, model.context // 2 * channels :][:, :channels] = state[_FIRST]
    return {**state, _FIRST: weight}


def for_single_slices(model: torch.nn.Module, config: NetworkConfig) -> tuple[torch.nn.Module, NetworkConfig]:
    """Return a network without neighbours, and its layout, with the output that `model` has where all slices are equal.

    The first convolution of a ``lite`` network adds up what its input channels are multiplied by; an encoder in CLIP's
    layout sees a single slice as three equal channels anyway.
    """
    single = replace(config, context=1)
    network = build_network(single)
    state = model.state_dict()
    if isinstance(model, LiteDenoiser):
        weight = state[_FIRST]
        state = {**state, _FIRST: weight.unflatten(1, (config.context, -1)).sum(1)}
    network.load_state_dict(state)
    return network.train(model.training), single


def calibrate(
    model: torch.nn.Module,
    encoder: str,
    weights: str | Path | None,
    items: Sequence[Mapping[str, Any]],
    load: Compose,
) -> None:
    """Set the BatchNorm statistics of an encoder with random weights to those of some images.

    Parameters
    ----------
    model
        The network; one without an encoder is not changed.
    encoder
        Name of its encoder; unless it stands for random weights, the network is not changed.
    weights
        The file that its weights are from instead; the network is not changed then.
    items
        Items of a datalist.
    load
        Transforms that give ``data["image"]`` as ``[1 or 3, H, W]``; the centres of the images are used.
    """
    if not isinstance(model, ClipDenoiser) or weights is not None or not encoder_source(encoder).is_random:
        return
    images = [torch.as_tensor(load(item)["image"]) for item in items]
    rows, columns = (min(image.shape[axis] for image in images) // SIZE_MULTIPLE * SIZE_MULTIPLE for axis in (1, 2))
    centres = [
        image[:, (image.shape[1] - rows) // 2 :][:, :rows, (image.shape[2] - columns) // 2 :][:, :, :columns]
        for image in images
    ]
    calibrate_batch_norm(model.encoder, torch.stack(centres).expand(-1, 3, -1, -1))


class WholeImageInferer(SimpleInferer):
    """Apply the network to whole images of any size."""

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Denoise ``[B, C, H, W]``."""
        return apply_to_any_size(network, inputs)
