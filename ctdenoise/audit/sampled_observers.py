"""Model observers on samples: images with and without a known signal at a known place, as of a phantom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import eval_laguerre
from scipy.stats import mannwhitneyu

#: Laguerre-Gauss channels, and their width over the radius of the signal.
LAGUERRE_GAUSS, _WIDTH = 5, 2 / 3


class SampledDetectability(NamedTuple):
    """Means and standard deviations over random halves of the images.

    Attributes
    ----------
    d_prime, d_prime_sd
        Difference of the mean scores over the root of the mean of their variances.
    auc, auc_sd
        Share of the pairs of an image with and one without the signal of which the former has the higher score.
    """

    d_prime: float
    d_prime_sd: float
    auc: float
    auc_sd: float


def laguerre_gauss(side: int, radius: float, count: int = LAGUERRE_GAUSS) -> NDArray[np.float64]:
    """Return Laguerre-Gauss channels, ``[count, side, side]``, around the middle.

    √2 / h · exp(−πr² / h²) · Lₙ(2πr² / h²), with h two thirds of the signal's radius (Gallas & Barrett 2003).

    Parameters
    ----------
    side
        Rows and columns.
    radius
        Of the signal, pixels.
    count
        Number of channels.
    """
    axis = np.arange(side) - (side - 1) / 2
    width = _WIDTH * radius
    scaled = np.pi * (axis[:, None] ** 2 + axis**2) / width**2
    channels: NDArray[np.float64] = np.stack(
        [np.sqrt(2) / width * np.exp(-scaled) * eval_laguerre(n, 2 * scaled) for n in range(count)]
    )
    return channels


def sampled_npw(
    present: NDArray[np.floating], absent: NDArray[np.floating], *, splits: int = 10, seed: int = 0
) -> SampledDetectability:
    """Return how well the non-prewhitening observer, whose template is the mean difference, sees a signal.

    Parameters
    ----------
    present, absent
        Images with and without the signal, ``[N, H, W]`` and ``[M, H, W]``, HU; at least 4 each.
    splits
        The template comes from a random half of the images, the scores from the other half; so often.
    seed
        Of the halves.

    Raises
    ------
    ValueError
        If there are too few images.
    """
    return _measure(_flat(present), _flat(absent), whiten=False, splits=splits, seed=seed)


def sampled_cho(
    present: NDArray[np.floating],
    absent: NDArray[np.floating],
    channels: NDArray[np.floating],
    *,
    splits: int = 10,
    seed: int = 0,
) -> SampledDetectability:
    """Return how well the channelised Hotelling observer sees a signal, without internal noise.

    The template is K⁻¹ Δv, of one half of the images: Δv is the difference of the means in the channels, K the mean of
    both covariances (Barrett & Myers 2004, *Foundations of Image Science*, 14.3).

    Parameters
    ----------
    present, absent, splits, seed
        As for :func:`sampled_npw`.
    channels
        ``[C, H, W]``.

    Raises
    ------
    ValueError
        If there are fewer images than the channels need.
    """
    flat = _flat(channels).T
    outputs = [_flat(images) @ flat for images in (present, absent)]
    degrees = sum(len(images) // 2 - 1 for images in outputs)
    if degrees < len(channels):
        raise ValueError(
            f"expected at least {len(channels) + 2} images with and as many without the signal for {len(channels)} "
            f"channels, found {len(present)} and {len(absent)}"
        )
    return _measure(*outputs, whiten=True, splits=splits, seed=seed)


def _flat(images: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(images, np.float64).reshape(len(images), -1)


def _measure(
    present: NDArray[np.float64], absent: NDArray[np.float64], *, whiten: bool, splits: int, seed: int
) -> SampledDetectability:
    """Measure on ``[N, F]`` and ``[M, F]`` features."""
    if min(len(present), len(absent)) < 4:
        raise ValueError(f"expected 4 images with and 4 without the signal, found {len(present)} and {len(absent)}")
    rng = np.random.default_rng(seed)
    found = [_scored(*_scores(present, absent, whiten, rng)) for _ in range(splits)]
    (d_prime, auc), (d_prime_sd, auc_sd) = np.mean(found, axis=0), np.std(found, axis=0)
    return SampledDetectability(float(d_prime), float(d_prime_sd), float(auc), float(auc_sd))


def _scores(
    present: NDArray[np.float64], absent: NDArray[np.float64], whiten: bool, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Yield the scores of those images with and without the signal from which the template was not made."""
    train, test = zip(
        *(np.split(rng.permutation(images), [len(images) // 2]) for images in (present, absent)), strict=True
    )
    template = train[0].mean(axis=0) - train[1].mean(axis=0)
    if whiten:
        covariance = np.mean([np.cov(images, rowvar=False) for images in train], axis=0)
        template = np.linalg.solve(covariance, template)
    for images in test:
        yield images @ template


def _scored(present: NDArray[np.float64], absent: NDArray[np.float64]) -> tuple[float, float]:
    """Return d′ and the area under the ROC curve."""
    variance = (present.var(ddof=1) + absent.var(ddof=1)) / 2
    pairs = mannwhitneyu(present, absent).statistic / (len(present) * len(absent))
    return float((present.mean() - absent.mean()) / np.sqrt(variance)), float(pairs)
