"""Means over slices, their confidence intervals, and tests of differences between images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import bootstrap, wilcoxon

from ctdenoise.evaluation.document import Comparison, Fidelity

#: Resamples of the slices for the interval of a mean.
MEAN_RESAMPLES = 2000


@dataclass(frozen=True)
class Summary:
    """Statistics of a metric over slices.

    Attributes
    ----------
    slices
        Number of values.
    mean
        Infinite if a value is infinite or NaN; None without values.
    sd, ci95
        Sample standard deviation and percentile bootstrap 95 % interval of the mean, of the finite values; None for
        fewer than two.
    """

    slices: int
    mean: float | None = None
    sd: float | None = None
    ci95: tuple[float, float] | None = None


def summarise(values: Sequence[float]) -> Summary:
    """Return mean, standard deviation and bootstrap interval (2,000 resamples, seed 0) over slices."""
    sample = np.array(values, float)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return Summary(len(values))
    mean = float(sample.mean()) if sample.size == len(values) else math.inf
    if sample.size == 1:
        return Summary(len(values), mean)
    interval = bootstrap(
        (sample,), np.mean, n_resamples=MEAN_RESAMPLES, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return Summary(len(values), mean, float(sample.std(ddof=1)), (float(interval.low), float(interval.high)))


def compare_images(fidelity: Sequence[Fidelity]) -> list[Comparison]:
    """Test each metric in each window between any two images: Wilcoxon's signed-rank test over slices."""
    groups: dict[tuple[str, str], list[Fidelity]] = {}
    for entry in fidelity:
        groups.setdefault((entry.window, entry.metric), []).append(entry)
    found = []
    for (window, metric), entries in groups.items():
        for one, other in combinations(entries, 2):
            pairs = zip(one.values, other.values, strict=True)
            difference = np.array([b - a for a, b in pairs if a is not None and b is not None])
            if difference.size < 2:
                continue
            p = float(wilcoxon(difference).pvalue) if np.any(difference) else 1.0
            found.append(
                Comparison(
                    a=one.image,
                    b=other.image,
                    window=window,
                    metric=metric,
                    slices=int(difference.size),
                    median_difference=float(np.median(difference)),
                    p=p,
                )
            )
    return found
