from __future__ import annotations

import numpy as np
import pytest
import torch

from ctdenoise.transforms import RandBankNoised, RandNeighboursd


def drawn(times: int = 200, missing: tuple[int, ...] = (), **values: float) -> set[tuple[int, ...]]:
    """Return which slices stood in the channels in many draws."""
    transform = RandNeighboursd("image", **values).set_random_state(0)
    image = torch.arange(3.0)[:, None, None].expand(3, 4, 5)
    results = [transform({"image": image, "missing": list(missing)}) for _ in range(times)]
    assert all(set(result) == {"image"} for result in results)
    return {tuple(result["image"][:, 0, 0].int().tolist()) for result in results}


def test_the_order_is_reversed_at_random():
    assert drawn(prob=0, side_prob=0) == {(0, 1, 2), (2, 1, 0)}


def test_neighbours_are_dropped_at_random():
    assert drawn(prob=1, side_prob=0) == {(1, 1, 1)}
    assert drawn(prob=0, side_prob=1) == {(1, 1, 2), (2, 1, 1)}
    assert drawn(prob=0.5, side_prob=0.5) == {(0, 1, 2), (2, 1, 0), (1, 1, 1), (1, 1, 2), (2, 1, 1)}


def test_missing_neighbours_are_always_the_slice_itself():
    assert drawn(missing=(2,), prob=0, side_prob=0) == {(0, 1, 1), (1, 1, 0)}
    assert drawn(missing=(0, 2), prob=0, side_prob=0) == {(1, 1, 1)}


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.7])
def test_noise_of_neighbouring_channels_has_the_correlation_asked_for(correlation):
    bank = [np.random.default_rng(0).normal(size=(400, 400)).astype(np.float32)]
    transform = RandBankNoised("image", bank, std=(2, 2), correlation=(correlation, correlation)).set_random_state(1)
    found = []
    for _ in range(20):
        noise = transform({"image": np.zeros((3, 96, 96), np.float32)})["image"]
        found.append([np.corrcoef(noise[i].ravel(), noise[j].ravel())[0, 1] for i, j in ((0, 1), (1, 2), (0, 2))])
        assert noise.std() == pytest.approx(2, rel=0.1)
    a = (1 - np.sqrt(1 - 2 * correlation**2)) / (2 * correlation) if correlation else 0
    wanted = [correlation, correlation, a**2 / (1 + 2 * a**2)]
    assert np.median(found, axis=0) == pytest.approx(wanted, abs=0.03)


def test_impossible_correlations_are_refused():
    with pytest.raises(ValueError, match=r"correlation: expected 0 ≤ lowest ≤ highest ≤ 0.7, found \(0, 0.9\)"):
        RandBankNoised("image", [], std=(1, 1), correlation=(0, 0.9))
