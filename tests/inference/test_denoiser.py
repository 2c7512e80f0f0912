from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctdenoise import Denoiser
from ctdenoise.models import NetworkConfig, build_network


@given(shape=st.one_of(st.tuples(st.integers(1, 70), st.integers(1, 70)), st.tuples(*[st.integers(1, 40)] * 3)))
@settings(max_examples=25, deadline=None)
def test_any_size_goes_through_an_identity_network_unchanged(shape):
    hu = np.random.default_rng(0).integers(-1024, 3072, shape).astype(np.float32)
    out = Denoiser(torch.nn.Identity())(hu)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, hu)


def test_the_network_sees_three_equal_channels_in_0_to_1_at_multiples_of_16():
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(image)
            return image

    Denoiser(Spy(), batch_size=2)(np.full((3, 20, 33), 1024.0))
    assert [tuple(x.shape) for x in seen] == [(2, 3, 32, 48), (1, 3, 32, 48)]
    assert all(torch.equal(x, torch.full_like(x, 0.5)) for x in seen)


def test_a_real_network_is_applied_slice_by_slice_and_in_whole_slices():
    network = build_network(NetworkConfig(encoder="resnet18"), seed=0)
    volume = np.random.default_rng(0).normal(0, 100, (3, 32, 40)).astype(np.float32)
    one = Denoiser(network, batch_size=1)(volume)
    together = Denoiser(network, batch_size=3)(volume)
    assert one.shape == volume.shape
    np.testing.assert_allclose(one, together, atol=0.05)
    np.testing.assert_allclose(Denoiser(network)(volume[1]), one[1], atol=0.05)


def test_strength_blends_linearly_with_the_source(halve):
    hu = np.full((16, 16), 976.0, np.float32)
    assert halve(hu)[0, 0] == -24
    assert halve(hu, strength=0.25)[0, 0] == 726
    np.testing.assert_array_equal(halve(hu, strength=0.0), hu)


def test_metal_beyond_the_range_passes_through_and_is_clipped_for_the_network(halve):
    hu = np.array([[3072.0, 3073.0, 20000.0]], np.float32)
    np.testing.assert_array_equal(halve(hu), [[1024, 3073, 20000]])


def test_what_lies_outside_the_field_of_view_is_air_to_the_network_and_passes_through():
    denoiser = Denoiser(torch.nn.AvgPool2d(3, stride=1, padding=1), full_field=True)
    air = np.random.default_rng(0).normal(40, 20, (32, 32)).astype(np.float32)
    air[:8] = -1024
    outside = np.where(air == -1024, -3024, air).astype(np.float32)
    result = denoiser(outside)
    np.testing.assert_array_equal(result[:8], -3024)
    np.testing.assert_array_equal(result[8:], denoiser(air)[8:])


@pytest.mark.parametrize("shape", [(4,), (1, 1, 4, 4), (0, 4)])
def test_other_shapes_are_refused(identity, shape):
    with pytest.raises(ValueError, match="expected HU of shape"):
        identity(np.zeros(shape))


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_other_strengths_are_refused(identity, strength):
    with pytest.raises(ValueError, match="from 0 to 1"):
        identity(np.zeros((4, 4)), strength=strength)
