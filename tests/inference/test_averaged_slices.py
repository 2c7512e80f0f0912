"""Denoised slices that are averaged with their neighbours, through all ways of denoising."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from threading import Event

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ctdenoise.inference import Denoiser, RunOptions, denoise
from ctdenoise.inference.averaged_slices import _RecentResults
from ctdenoise.inference.denoising import model_entry
from ctdenoise.io.dicom import discover, read_slice
from ctdenoise.models.averaging import NeighbourAveraging
from tests.conftest import make_series
from tests.inference.test_context_denoiser import body
from tests.inference.test_slice_context import stored_by_source


class Counting(nn.Module):
    """Halves the contrast, and counts the images."""

    def __init__(self) -> None:
        super().__init__()
        self.images = 0

    def forward(self, image: Tensor) -> Tensor:
        self.images += len(image)
        return (image + 0.25) / 2


class Thirds(NeighbourAveraging):
    """The mean of the three slices."""

    def forward(self, noisy: Tensor, denoised: Tensor) -> Tensor:
        return denoised.mean(1)


def averaging(**values: object) -> Denoiser:
    return Denoiser(Counting(), channels=1, averaging=Thirds(), **values)


def test_slices_are_averaged_with_their_neighbours_after_the_network():
    hu = body(5)
    alone = Denoiser(Counting(), channels=1)(hu, strength=1)
    wanted = [alone[[max(0, i - 1), i, min(4, i + 1)]].mean(0) for i in range(5)]
    np.testing.assert_allclose(averaging()(hu, strength=1), wanted, atol=0.01)
    half = averaging()(hu, strength=0.5)
    np.testing.assert_allclose(half, (np.array(wanted) + hu) / 2, atol=0.01)
    np.testing.assert_array_equal(averaging()(hu, strength=0), hu)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_each_slice_goes_through_the_network_once(batch_size):
    denoiser = averaging(batch_size=batch_size, engine="eager")
    denoiser(body(9), strength=1)
    assert denoiser.network.images == 9


def test_a_single_slice_is_what_the_network_makes_of_it():
    hu = body(1)
    alone = Denoiser(Counting(), channels=1)(hu, strength=1)
    np.testing.assert_array_equal(averaging()(hu, strength=1), alone)
    np.testing.assert_array_equal(averaging()(hu[0], strength=1), alone[0])


def test_what_a_slice_has_outside_the_range_stays():
    hu = body(3)
    hu[1, 0, 0], hu[1, 90, 80], hu[0, 91, 80] = np.nan, 9000, np.nan
    found = averaging()(hu, strength=1)
    assert np.isnan(found[1, 0, 0])
    assert found[1, 90, 80] == 9000
    assert np.isfinite(found[1, 1:]).all()


def test_air_around_the_body_stays_as_it_is():
    hu = body(3, (320, 320))
    found = averaging(full_field=False)(hu, strength=1)
    np.testing.assert_array_equal(found[1, 250:], hu[1, 250:])
    assert np.abs(found[1, 80:100, 80:84] - hu[1, 80:100, 80:84]).max() > 5


def test_series_and_arrays_agree(tmp_path):
    source = make_series(tmp_path / "in", slices=5)
    images = [read_slice(file.path) for file in discover(source).series[0].slices]
    (result,) = denoise(source, tmp_path / "out", model=averaging(), options=RunOptions(strength=1)).results
    wanted = averaging()(np.stack([image.hu for image in images]), strength=1)
    found = stored_by_source(result.folder)
    for image, hu in zip(images, wanted, strict=True):
        stored = image.to_stored(hu).values
        assert np.abs(found[image.dataset.SOPInstanceUID].astype(int) - stored).max() <= 1
    assert "averaged with its neighbours" in read_slice(next(result.folder.glob("*.dcm"))).dataset.DerivationDescription


def test_a_denoiser_can_be_sent_to_another_process():
    hu = body(4)
    denoiser = averaging(engine="eager")
    wanted = denoiser(hu, strength=1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(denoiser))(hu, strength=1), wanted)


def test_averaging_is_for_ct_and_instead_of_context():
    with pytest.raises(ValueError, match="averaging"):
        Denoiser(nn.Identity(), channels=3, context=1, averaging=Thirds())
    with pytest.raises(ValueError, match="averaging"):
        Denoiser(nn.Identity(), hu_range=None, averaging=Thirds())


def test_a_result_that_another_thread_is_at_is_waited_for():
    recent, begun, go_on = _RecentResults(), Event(), Event()
    image, calls = np.ones((1, 2, 2), np.float32), []

    def compute(slices):
        calls.append(len(slices))
        begun.set()
        assert go_on.wait(10)
        return 2 * slices

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(recent.of, image, compute)
        assert begun.wait(10)
        second = pool.submit(recent.of, np.concatenate([image, image]), compute)
        go_on.set()
        assert first.result()[0, 0, 0] == 2
        assert second.result().shape == (2, 2, 2)
    assert calls == [1]


def test_after_an_error_a_result_is_computed_again():
    recent, image = _RecentResults(), np.ones((1, 2, 2), np.float32)

    def fail(slices):
        raise MemoryError

    with pytest.raises(MemoryError):
        recent.of(image, fail)
    np.testing.assert_array_equal(recent.of(image, lambda slices: slices + 1), image + 1)


def test_slices_of_other_shapes_are_other_slices():
    recent, image = _RecentResults(), np.arange(8, dtype=np.float32).reshape(1, 2, 4)
    recent.of(image, lambda slices: slices)
    assert recent.of(image.reshape(1, 4, 2), lambda slices: slices).shape == (1, 4, 2)


def test_the_weights_of_the_averaging_are_part_of_the_identity():
    def identity(seed: int | None) -> object:
        torch.manual_seed(seed or 0)
        weights = None if seed is None else NeighbourAveraging()
        return model_entry(Denoiser(Counting(), channels=1, averaging=weights))["sha256"]

    assert identity(0) == identity(0)
    assert len({identity(None), identity(0), identity(1)}) == 3


def test_the_environment_names_what_computes_the_averages():
    alone = Denoiser(Counting(), channels=1, engine="eager")
    assert averaging(engine="eager").environment() == {**alone.environment(), "torch": version("torch")}


def test_few_results_are_kept():
    recent = _RecentResults()
    for value in range(50):
        recent.of(np.full((1, 2, 2), value, np.float32), lambda slices: slices)
    assert len(recent._results) == recent.limit


def test_the_weights_run_where_the_network_runs():
    denoiser = averaging()
    assert {parameter.device for parameter in denoiser._slices.averaging.parameters()} == {torch.device("cpu")}
