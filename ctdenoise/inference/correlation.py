"""Spatially correlated noise for networks trained on white noise: pixel-shuffle, used where the noise is correlated.

A network trained on white noise takes correlated noise for structure and keeps much of it. In every s-th pixel of the
image, by rows and columns, the noise is nearly white: the image is split into its s × s sub-images, each is denoised,
and the pixels are put back (Zhou et al., *When AWGN-based Denoiser Meets Real Noises*, AAAI 2020). Noise that is white
already must not be treated so, because a sub-image shows the network less of the structure around a pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

#: Takes and returns ``[B, C, H, W]`` of any size.
Network = Callable[[Tensor], Tensor]

#: Autocorrelation at a distance of one pixel from which noise counts as correlated. Measured with natural-lite on 22
#: photographs that it was not trained on: white noise (Gaussian, Poisson, speckle) at most 0.03, noise averaged over
#: 3 × 3 pixels at least 0.31, demosaiced noise at least 0.14.
CORRELATED = 0.1
#: Relative noise below which an image is not split, because sub-images cost more detail than correlated noise does.
#: The same photographs without added noise have at most 0.053.
LEAST_RELATIVE_NOISE = 0.06
#: Relative noise from which lost detail matters least: the whole image is then left out of the mean.
STRONG_RELATIVE_NOISE = 0.12
#: Side of the windows in which noise is measured, in pixels.
_WINDOW = 8
#: Share of the windows that is used: those with the least structure.
_FLAT_SHARE = 0.3


@dataclass(frozen=True)
class NoiseCorrelation:
    """The noise that was measured in an image, and what was done about its correlation.

    Attributes
    ----------
    autocorrelation
        At a distance of one pixel, in [-1, 1]; 0 is white noise.
    relative_noise
        Standard deviation of what the network takes away from the whole image, divided by the image's own.
    pixel_shuffle
        Steps whose results were averaged, 1 being the whole image; empty where the network saw that alone.
    """

    autocorrelation: float
    relative_noise: float
    pixel_shuffle: tuple[int, ...]


def denoise_correlated_noise(network: Network, image: Tensor) -> tuple[Tensor, NoiseCorrelation]:
    """Denoise a photograph, by pixel-shuffle if its noise is spatially correlated.

    None of the measurements depends on the scale of the image: with a level-equivariant network, the result of
    ``a * image`` is `a` times that of `image`.

    Parameters
    ----------
    network
        Trained on white noise.
    image
        ``[B, C, H, W]``; one decision is made for the whole batch.

    Returns
    -------
    tuple
        The denoised image, and what was measured and done. A network that returns its input gives exactly `image`.
    """
    denoised = network(image)
    autocorrelation = noise_autocorrelation(image, denoised)
    contrast = float(image.float().std(correction=0))
    relative_noise = float((image - denoised).float().std(correction=0)) / contrast if contrast else 0.0
    steps = _steps(autocorrelation, relative_noise)
    if steps:
        results = [denoised if step == 1 else denoise_sub_images(network, image, step) for step in steps]
        # In float64, because in float32 a third of three times a value is not always the value.
        denoised = torch.stack(results).double().mean(dim=0).to(image.dtype)
    return denoised, NoiseCorrelation(autocorrelation, relative_noise, steps)


def _steps(autocorrelation: float, relative_noise: float) -> tuple[int, ...]:
    """Choose the steps whose results are averaged; every third pixel of noise averaged over 3 × 3 pixels is white."""
    if autocorrelation < CORRELATED or relative_noise < LEAST_RELATIVE_NOISE:
        return ()
    return (2, 3) if relative_noise >= STRONG_RELATIVE_NOISE else (1, 2, 3)


def noise_autocorrelation(image: Tensor, denoised: Tensor) -> float:
    """Estimate the autocorrelation of an image's noise at a distance of one pixel, rows and columns averaged.

    The estimate is made on what the network took away, in the windows of 8 × 8 pixels that have the least structure
    after denoising, so that lost detail hardly counts. Of correlated noise the network takes away the fine part more
    than the coarse part: the estimate is then below the true value, 0.5 instead of 2/3 for noise averaged over 3 × 3
    pixels.

    Parameters
    ----------
    image, denoised
        ``[B, C, H, W]``.

    Returns
    -------
    float
        In [-1, 1]; 0 where the image is smaller than a window or nothing was taken away.
    """
    noise = (image - denoised).float()
    if min(image.shape[-2:]) <= _WINDOW:
        return 0.0
    here = noise[..., :-1, :-1]
    variance = _window_means(here * here)
    covariance = _window_means(here * (noise[..., :-1, 1:] + noise[..., 1:, :-1]) / 2)
    clean = denoised.float()
    corner = clean[..., :-1, :-1]
    structure = _window_means((clean[..., :-1, 1:] - corner) ** 2 + (clean[..., 1:, :-1] - corner) ** 2)
    # Clipped windows, black or white, have no noise.
    noisy = variance > 0
    if not noisy.any():
        return 0.0
    flat = noisy & (structure <= structure[noisy].quantile(_FLAT_SHARE))
    return float(covariance[flat].sum() / variance[flat].sum())


def denoise_sub_images(network: Network, image: Tensor, step: int) -> Tensor:
    """Denoise the sub-images that every `step`-th pixel makes, and put the pixels back.

    Parameters
    ----------
    network
        Gets ``[B * step * step, C, H / step, W / step]``.
    image
        ``[B, C, H, W]``; sizes that are no multiple of `step` are extended by repeating the last row and column.
    step
        In pixels.

    Returns
    -------
    Tensor
        As `image`.
    """
    batch, channels, rows, columns = image.shape
    padded = F.pad(image, (0, -columns % step, 0, -rows % step), mode="replicate")
    split = F.pixel_unshuffle(padded, step)
    height, width = split.shape[-2:]
    sub_images = split.reshape(batch, channels, step**2, height, width).transpose(1, 2).flatten(0, 1)
    clean = network(sub_images).reshape(batch, step**2, channels, height, width).transpose(1, 2)
    return F.pixel_shuffle(clean.flatten(1, 2), step)[..., :rows, :columns]


def _window_means(values: Tensor) -> Tensor:
    """Average ``[B, C, H, W]`` over channels and over windows side by side: one value a window, ``[N]``."""
    return F.avg_pool2d(values.mean(dim=1, keepdim=True), _WINDOW).flatten()
