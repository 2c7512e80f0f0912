"""Means over slices, how sure they are, and whether two differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import bootstrap, wilcoxon

_RESAMPLES = 2000


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation and bootstrap interval over slices."""
    sample = np.array(values, float)
    sample = sample[np.isfinite(sample)]
    found: dict[str, Any] = {"slices": len(values), "mean": None, "sd": None, "ci95": None}
    if sample.size:
        found["mean"] = float(sample.mean()) if sample.size == len(values) else math.inf
    if sample.size > 1:
        found["sd"] = float(sample.std(ddof=1))
        interval = bootstrap(
            (sample,), np.mean, n_resamples=_RESAMPLES, method="percentile", rng=np.random.default_rng(0)
        ).confidence_interval
        found["ci95"] = [float(interval.low), float(interval.high)]
    return found


def comparisons(fidelity: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Wilcoxon's signed-rank test over slices, between any two images, for each window and metric."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in fidelity:
        groups.setdefault((entry["window"], entry["metric"]), []).append(entry)
    found = []
    for (window, metric), entries in groups.items():
        for one, other in combinations(entries, 2):
            pairs = [(a, b) for a, b in zip(one["values"], other["values"], strict=True) if None not in (a, b)]
            difference = np.array([b - a for a, b in pairs if np.isfinite(a) and np.isfinite(b)])
            if difference.size < 2:
                continue
            p = float(wilcoxon(difference).pvalue) if np.any(difference) else 1.0
            found.append(
                {
                    "a": one["image"],
                    "b": other["image"],
                    "window": window,
                    "metric": metric,
                    "slices": int(difference.size),
                    "median_difference": float(np.median(difference)),
                    "p": p,
                }
            )
    return found
