"""Noise stronger than in training: the image is brought to the level that the network knows, and the result back.

A network trained on one noise level takes stronger noise for structure. Scaling an image about its mean scales its
noise with it: with ``a`` = level of the training / measured level, the network sees ``m + a (y - m)``, with the noise
it was trained on and an image of low contrast, and what it changes there is divided by `a`. Networks that are
level-equivariant do not need it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ctdenoise.inference.correlation import Network

#: Second differences by rows and by columns; structure that is linear in one direction disappears.
_SECOND_DIFFERENCES = torch.tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])
#: Its factor for the standard deviation of white noise.
_GAIN = 6.0
#: Times the noise of the training up to which an image is left as it is: the measurement is that uncertain.
_TOLERANCE = 1.15
#: The median of the magnitude of a normal distribution of standard deviation 1.
_NORMAL_MEDIAN = 0.6744897501960817


@dataclass(frozen=True)
class NoiseLevel:
    """The noise that was measured in an image, and what was done about its level.

    Attributes
    ----------
    std
        Standard deviation, in the unit of the image, [0, 1].
    scale
        By which the image was multiplied; 1 where the noise was not stronger than in training.
    """

    std: float
    scale: float


def noise_std(image: Tensor) -> float:
    """Measure the standard deviation of white noise in an image.

    From the median magnitude of second differences by rows and columns (Immerkær, *Fast noise variance estimation*,
    Computer Vision and Image Understanding 64, 1996, with the median in place of the mean, which edges do not move).
    Noise whose pixels are correlated has smaller differences and is underestimated.

    Parameters
    ----------
    image
        ``[C, H, W]``.

    Returns
    -------
    float
        0 for images smaller than 3 × 3 pixels.
    """
    if min(image.shape[-2:]) < len(_SECOND_DIFFERENCES):
        return 0.0
    kernel = _SECOND_DIFFERENCES.to(image.device)[None, None]
    differences = F.conv2d(image.float()[:, None], kernel)
    return float(differences.abs().median()) / (_GAIN * _NORMAL_MEDIAN)


def noise_level(image: Tensor, training_noise: float) -> NoiseLevel:
    """Measure the noise of ``[B, C, H, W]`` and decide how to scale it; one decision for the whole batch."""
    std = math.sqrt(sum(noise_std(one) ** 2 for one in image) / len(image))
    return NoiseLevel(std, training_noise / std if std > _TOLERANCE * training_noise else 1.0)


def normalise_level(network: Network, training_noise: float, image: Tensor) -> Tensor:
    """Denoise an image whose noise may be stronger than that of the training.

    Parameters
    ----------
    network
        Trained on white noise of one level.
    training_noise
        Standard deviation of the noise in training, in the unit of the image.
    image
        ``[B, C, H, W]``.

    Returns
    -------
    Tensor
        As `image`. A network that returns its input gives exactly `image`, and an image whose noise is not stronger
        than in training goes through the network as it is.
    """
    scale = noise_level(image, training_noise).scale
    if scale == 1.0:
        return network(image)
    mean = image.mean(dim=(-2, -1), keepdim=True)
    seen = mean + scale * (image - mean)
    return image + (network(seen) - seen) / scale
