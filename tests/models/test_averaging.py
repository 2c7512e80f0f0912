"""Weights of neighbours: a mean of slices that show the same, and of nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ctdenoise.models.averaging import NeighbourAveraging
from ctdenoise.models.zoo import available, describe, load_averaging


@pytest.fixture(scope="module")
def averaging() -> NeighbourAveraging:
    torch.manual_seed(0)
    return NeighbourAveraging().eval()


def pair(seed: int, shape: tuple[int, ...] = (2, 3, 40, 32), noise: float = 20.0) -> tuple[Tensor, Tensor]:
    """Return noisy and denoised slices of nearly the same anatomy."""
    random = torch.Generator().manual_seed(seed)
    denoised = 40 + 5 * torch.randn(shape, generator=random)
    return denoised + noise * torch.randn(shape, generator=random), denoised


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 37), st.integers(1, 37), st.integers(0, 99))
def test_a_slice_without_neighbours_stays_as_it_is(rows, columns, seed):
    averaging = NeighbourAveraging().eval()
    noisy, denoised = (one[:, :1].repeat(1, 3, 1, 1) for one in pair(seed, (1, 3, rows, columns)))
    with torch.inference_mode():
        assert torch.equal(averaging(noisy, denoised), denoised[:, 1])


@pytest.mark.parametrize("seed", range(3))
def test_the_result_lies_between_the_slices(seed, averaging):
    noisy, denoised = pair(seed)
    with torch.inference_mode():
        found = averaging(noisy, denoised)
    assert (found >= denoised.amin(1) - 1e-3).all()
    assert (found <= denoised.amax(1) + 1e-3).all()
    assert (found - denoised[:, 1]).abs().max() > 0.5


def test_before_and_after_are_alike(averaging):
    noisy, denoised = pair(3)
    with torch.inference_mode():
        torch.testing.assert_close(averaging(noisy.flip(1), denoised.flip(1)), averaging(noisy, denoised))


def test_hu_do_not_matter_only_differences(averaging):
    noisy, denoised = pair(4)
    with torch.inference_mode():
        moved = averaging(noisy - 700, denoised - 700)
        torch.testing.assert_close(moved, averaging(noisy, denoised) - 700, atol=1e-2, rtol=0)


def test_slices_of_a_batch_do_not_see_one_another(averaging):
    noisy, denoised = pair(5)
    with torch.inference_mode():
        both = averaging(noisy, denoised)
        torch.testing.assert_close(averaging(noisy[1:], denoised[1:]), both[1:])


def test_after_inference_gradients_can_be_taken(averaging):
    noisy, denoised = pair(7, (1, 3, 34, 34))
    with torch.inference_mode():
        averaging(noisy, denoised)
    averaging(noisy.requires_grad_(), denoised).sum().backward()
    assert torch.isfinite(noisy.grad).all()


@pytest.mark.parametrize("name", [name for name in available() if describe(name).averaging_file])
def test_models_average_noise_and_leave_other_anatomy_alone(name):
    averaging = load_averaging(name, describe(name))
    assert averaging is not None
    noisy, denoised = pair(6, (1, 3, 96, 96))
    denoised[:, 2, 30:60, 30:60] += 150
    noisy[:, 2, 30:60, 30:60] += 150
    with torch.inference_mode():
        before, after = averaging.weights(noisy, denoised)[0]
    assert before.mean() > 0.15
    assert after[:20].mean() > 0.15
    assert after[36:54, 36:54].max() < 0.01
