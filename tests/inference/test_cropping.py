from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctdenoise import Denoiser
from ctdenoise.inference.cropping import AIR_MARGIN, body_box
from ctdenoise.noise.phantom import render, thorax
from tests.conftest import Halve


@given(
    size=st.tuples(st.integers(20, 600), st.integers(20, 600)),
    corner=st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)),
    multiple=st.sampled_from([16, 128]),
)
@settings(max_examples=40, deadline=None)
def test_the_box_holds_the_body_and_its_margin_on_the_grid_of_the_encoder(size, corner, multiple):
    hu = np.full(size, -1000.0, np.float32)
    rows, columns = (slice(int(c * n), int(c * n) + 10) for c, n in zip(corner, size, strict=True))
    hu[rows, columns] = 40
    for axis, (body, span) in enumerate(zip((rows, columns), body_box(hu, multiple), strict=True)):
        length = size[axis]
        assert span.start % 16 == 0
        assert span.start <= max(0, body.start - AIR_MARGIN)
        assert span.stop >= min(length, body.stop + AIR_MARGIN)
        assert (span.stop - span.start) % multiple == 0 or span.stop == length


def test_where_there_is_only_air_there_is_no_box_and_nothing_changes():
    air = np.random.default_rng(0).normal(-1000, 60, (3, 64, 64)).astype(np.float32)
    assert body_box(air[0], 16) is None
    np.testing.assert_array_equal(Denoiser(Halve(), full_field=False)(air), air)


@pytest.fixture(scope="module")
def wide() -> np.ndarray:
    """A thorax in a reconstruction so wide that a third of it is air."""
    hu = render(thorax(), 0.0, size=512, pixel_mm=1.2)
    return (hu + np.random.default_rng(0).normal(0, 30, hu.shape)).astype(np.float32)


def test_air_stays_as_it_is_and_the_body_comes_out_the_same(wide):
    box = body_box(wide, 16)
    assert (box[0].stop - box[0].start) * (box[1].stop - box[1].start) < 0.7 * wide.size
    whole = Denoiser.from_pretrained(full_field=True, engine="eager")(wide, strength=1.0)
    boxed = Denoiser.from_pretrained(engine="eager")(wide, strength=1.0)
    body = render(thorax(), 0.0, size=512, pixel_mm=1.2) > -990
    assert np.sqrt(np.mean((boxed - whole)[body] ** 2)) < 0.05
    outside = np.ones(wide.shape, bool)
    outside[box] = False
    np.testing.assert_array_equal(boxed[outside], wide[outside])
    assert boxed[body].std() < wide[body].std()
