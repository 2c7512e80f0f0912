"""How a photograph goes through a network: its noise is measured, and treated as the model's description says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from ctdenoise.inference.correlation import Network, NoiseCorrelation, denoise_correlated_noise
from ctdenoise.inference.level import NoiseLevel, noise_level, normalise_level


@dataclass(frozen=True)
class PhotographNoise:
    """The noise of a photograph, and what was done about it; None where the model's description asks for nothing.

    Attributes
    ----------
    level
        See :mod:`ctdenoise.inference.level`.
    correlation
        See :mod:`ctdenoise.inference.correlation`.
    """

    level: NoiseLevel | None = None
    correlation: NoiseCorrelation | None = None


def denoise_photograph(
    network: Network, image: Tensor, *, training_noise: float | None, correlated_noise: bool
) -> tuple[Tensor, PhotographNoise]:
    """Denoise a photograph.

    Parameters
    ----------
    network
        Takes and returns ``[B, C, H, W]`` of any size.
    image
        ``[B, C, H, W]``; one decision is made for the whole batch.
    training_noise
        Bring stronger noise to this standard deviation for the network; None leaves images as they are.
    correlated_noise
        Denoise images whose noise is spatially correlated as sub-images.

    Returns
    -------
    tuple
        The denoised image, and what was measured and done.
    """
    level = None
    if training_noise is not None:
        level = noise_level(image, training_noise)
        network = partial(normalise_level, network, training_noise)
    if not correlated_noise:
        return network(image), PhotographNoise(level)
    denoised, correlation = denoise_correlated_noise(network, image)
    return denoised, PhotographNoise(level, correlation)
