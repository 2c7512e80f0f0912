from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

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
    assert halve(hu, strength=1)[0, 0] == -24
    assert halve(hu, strength=0.25)[0, 0] == 726
    np.testing.assert_array_equal(halve(hu, strength=0.0), hu)


def test_metal_beyond_the_range_passes_through_and_is_clipped_for_the_network(halve):
    hu = np.array([[3072.0, 3073.0, 20000.0]], np.float32)
    np.testing.assert_array_equal(halve(hu, strength=1), [[1024, 3073, 20000]])


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


# Kinds of input


def test_nan_passes_through_and_does_not_spread():
    denoiser = Denoiser(torch.nn.AvgPool2d(3, stride=1, padding=1), full_field=True)
    hu = np.random.default_rng(0).normal(0, 20, (32, 32)).astype(np.float32)
    hu[:, :16] = np.nan
    result = denoiser(hu, strength=1)
    assert np.isnan(result[:, :16]).all()
    assert np.isfinite(result[:, 16:]).all()
    assert np.isnan(denoiser(np.full((8, 8), np.nan), strength=1)).all()
    cropping = Denoiser.from_pretrained("ct-lowdose-lite", device="cpu", engine="eager")
    assert (np.isnan(cropping(hu, strength=1)) == np.isnan(hu)).all()


@pytest.mark.parametrize("dtype", [torch.int16, torch.float32, torch.float64, torch.float16])
def test_a_tensor_gives_a_tensor(halve, dtype):
    hu = torch.arange(-100, 156).reshape(16, 16).to(dtype)
    result = halve(hu, strength=1)
    assert type(result) is torch.Tensor
    assert result.dtype == torch.float32
    assert result.device == hu.device
    np.testing.assert_allclose(result.numpy(), halve(hu.numpy(), strength=1))


def test_a_tensor_with_gradients_and_a_strided_one_are_read(halve):
    hu = torch.rand(20, 3, 16, requires_grad=True)
    result = halve(hu.transpose(0, 1), strength=1)
    np.testing.assert_allclose(result.detach().numpy(), halve(hu.detach().numpy().swapaxes(0, 1), strength=1))
    assert not result.requires_grad


def test_a_metatensor_keeps_metadata_and_affine(halve):
    affine = torch.diag(torch.tensor([0.7, 0.8, 2.5, 1.0], dtype=torch.float64))
    hu = MetaTensor(torch.rand(3, 16, 20) * 100, affine=affine, meta={"filename_or_obj": "x.nii", "space": "RAS"})
    before = hu.as_tensor().clone()
    result = halve(hu, strength=1)
    assert isinstance(result, MetaTensor)
    torch.testing.assert_close(result.affine, affine)
    assert result.meta["filename_or_obj"] == "x.nii"
    assert result.meta.keys() == hu.meta.keys()
    assert result.applied_operations == hu.applied_operations
    torch.testing.assert_close(result.as_tensor(), torch.from_numpy(halve(before.numpy(), strength=1)))
    torch.testing.assert_close(hu.as_tensor(), before)


def test_slices_last_are_refused_with_what_to_do(halve):
    with pytest.raises(ValueError, match=r"looks like \[H, W, D\].*moveaxis"):
        halve(np.zeros((512, 512, 30), np.float32), strength=1)
    with pytest.raises(ValueError, match=r"looks like \[H, W, D\]"):
        halve(torch.zeros(256, 256, 30), strength=1)
    for shape in ((30, 512, 512), (130, 130, 130), (40, 40, 12)):
        assert halve(np.zeros(shape, np.int16), strength=0).shape == shape


@pytest.mark.parametrize(
    "hu",
    [[[0.0, 1.0]], None, "x", np.zeros((4, 4), complex), np.zeros((4, 4), bool), np.array([["a"]])],
    ids=["list", "none", "text", "complex", "bool", "array of text"],
)
def test_what_is_no_array_of_numbers_is_refused(halve, hu):
    with pytest.raises(ValueError, match="expected an array or a tensor of real numbers in HU, found"):
        halve(hu)


def test_the_input_is_not_changed(halve):
    hu = np.random.default_rng(0).normal(0, 100, (2, 40, 40)).astype(np.float32)
    before = hu.copy()
    halve(hu, strength=0.5)
    np.testing.assert_array_equal(hu, before)


def test_the_result_of_a_slice_does_not_depend_on_its_batch():
    denoiser = Denoiser.from_pretrained("ct-lowdose-lite", device="cpu", engine="eager", batch_size=4)
    rng = np.random.default_rng(0)
    hu = np.full((4, 320, 320), -1000, np.float32)
    hu[0, 100:180, 120:200] = hu[1, 10:300, 10:310] = hu[3, 100:180, 120:200] = 40  # the third is air
    hu += rng.normal(0, 30, hu.shape).astype(np.float32) * (hu > -1000)
    together = denoiser.denoise_slices(hu, 0.8)
    for i, image in enumerate(hu):
        alone = denoiser.denoise_slices(image[None], 0.8)[0]
        np.testing.assert_array_equal(together[i], alone)
