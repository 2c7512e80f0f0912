"""The network at the start of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.inferers import SimpleInferer
from monai.transforms import Compose

from ctdenoise.models.denoiser import ClipDenoiser, NetworkConfig, apply_to_any_size, build_network
from ctdenoise.models.encoder import BatchNormMode, calibrate_batch_norm
from ctdenoise.models.sources import encoder_source, load_source
from ctdenoise.models.weights import load_decoder


def network_config(network: Mapping[str, Any], encoder: str | None) -> NetworkConfig:
    """Return the layout that a bundle's ``network`` and ``encoder`` say; baselines have no encoder."""
    layout = encoder_source(encoder).layout if encoder and network.get("architecture", "clip") == "clip" else None
    return NetworkConfig(**network, encoder=layout)


def initialise_network(
    network: Mapping[str, Any],
    *,
    encoder: str | None,
    gamma: float = 0.0,
    batch_norm: BatchNormMode = "frozen",
    trainable_encoder: bool = False,
    encoder_weights: str | Path | None = None,
    decoder_weights: str | Path | None = None,
    seed: int = 0,
) -> torch.nn.Module:
    """Build a network to train.

    Parameters
    ----------
    network
        Fields of :class:`~ctdenoise.models.denoiser.NetworkConfig` but ``encoder``.
    encoder
        A name :func:`~ctdenoise.models.sources.encoder_source` knows; None for a network without one.
    gamma
        Of the feature augmentation.
    batch_norm, trainable_encoder
        See :class:`~ctdenoise.models.encoder.FeatureEncoder`.
    encoder_weights
        A file with the encoder's weights, for those that cannot be downloaded.
    decoder_weights
        A safetensors file to start from; without it the decoder's weights are random.
    seed
        Of the random weights.

    Raises
    ------
    InputError
        If weights cannot be found, or are those of another network.
    """
    config = network_config(network, encoder)
    model = build_network(config, gamma=gamma, batch_norm=batch_norm, trainable_encoder=trainable_encoder, seed=seed)
    if isinstance(model, ClipDenoiser) and encoder:
        load_source(model.encoder, encoder_source(encoder), Path(encoder_weights) if encoder_weights else None)
    if decoder_weights is not None:
        load_decoder(model, Path(decoder_weights))
    return model


def calibrate(model: torch.nn.Module, encoder: str, items: Sequence[Mapping[str, Any]], load: Compose) -> None:
    """Set an untrained encoder's BatchNorm statistics to those of some images; leave any other alone.

    Parameters
    ----------
    items, load
        Datalist, and transforms giving ``data["image"]`` as ``[1 or 3, H, W]``; the centres of the images are used.
    """
    if not isinstance(model, ClipDenoiser) or not encoder_source(encoder).is_random:
        return
    images = [torch.as_tensor(load(item)["image"]) for item in items]
    rows, columns = (min(image.shape[axis] for image in images) // 16 * 16 for axis in (1, 2))
    centres = [
        image[:, (image.shape[1] - rows) // 2 :][:, :rows, (image.shape[2] - columns) // 2 :][:, :, :columns]
        for image in images
    ]
    calibrate_batch_norm(model.encoder, torch.stack(centres).expand(-1, 3, -1, -1))


class WholeImageInferer(SimpleInferer):
    """The network on whole images of any size."""

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Denoise ``[B, C, H, W]``."""
        return apply_to_any_size(network, inputs)
