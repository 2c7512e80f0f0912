from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.transforms import Compose

from ctdenoise.transforms import ScaleHU, ScaleHUd, ToClipInput, ToClipInputd


def test_default_range_is_4096_hu_from_minus_1024():
    scaled = ScaleHU()(np.array([[[-1024.0, 0.0, 1024.0, 3072.0, 7168.0]]], np.float32))
    np.testing.assert_array_equal(np.asarray(scaled)[0, 0], [0, 0.25, 0.5, 1, 2])


@given(arrays(np.int16, (1, 3, 5)))
def test_integer_hu_are_restored_exactly(hu):
    scale = ScaleHU()
    back = np.asarray(scale.inverse(scale(hu.astype(np.float32))))
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, hu)


@given(arrays(np.int16, (1, 2, 2)), st.integers(-2000, 0), st.integers(1, 5000))
def test_other_ranges_are_restored_within_rounding(hu, low, width):
    scale = ScaleHU((low, low + width))
    back = np.asarray(scale.inverse(scale(hu.astype(np.float32))))
    np.testing.assert_allclose(back, hu, atol=0.02)


def test_dictionary_chain_and_its_inverse():
    chain = Compose([ScaleHUd("image"), ToClipInputd("image")])
    hu = np.random.default_rng(0).integers(-1024, 3000, (1, 4, 6)).astype(np.float32)
    data = chain({"image": hu, "name": "kept"})
    assert data["image"].shape == (3, 4, 6)
    assert float(data["image"].min()) >= 0
    back = chain.inverse(data)
    assert back["name"] == "kept"
    np.testing.assert_array_equal(np.asarray(back["image"]), hu)


def test_array_chain_and_its_inverse_on_tensors():
    chain = Compose([ScaleHU(), ToClipInput()])
    hu = torch.arange(24.0).reshape(1, 4, 6)
    assert torch.equal(torch.as_tensor(chain.inverse(chain(hu))), hu)


def test_bad_ranges_and_channels_are_refused():
    with pytest.raises(ValueError, match="lower < upper"):
        ScaleHU((100, 100))
    with pytest.raises(ValueError, match="one channel"):
        ToClipInput()(np.zeros((3, 4, 4), np.float32))
