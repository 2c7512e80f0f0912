from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from ctdenoise import Denoiser
from ctdenoise.benchmark.phantom_series import phantom_slice
from ctdenoise.cli.common import EngineName
from ctdenoise.errors import InputError
from ctdenoise.inference.calibration import MAX_DIFFERENCE_HU, MAX_RMS_DIFFERENCE_HU
from ctdenoise.inference.engines import AUTO, ENGINES, engine_class
from ctdenoise.models import NetworkConfig, build_network
from ctdenoise.models.zoo import load_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shipped() -> torch.nn.Module:
    return load_model("ct-lowdose")[0]


@pytest.fixture(scope="module")
def plain(shipped) -> np.ndarray:
    return Denoiser(shipped, engine="eager")(phantom_slice(256), strength=1.0)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "compile" else ()) for name in ENGINES]
)
def test_every_engine_gives_what_eager_gives(name, shipped, plain):
    why = ENGINES[name].unavailable(shipped, CPU)
    if why:
        pytest.skip(why)
    denoiser = Denoiser(shipped, engine=name)
    assert denoiser.engine == name
    difference = denoiser(phantom_slice(256), strength=1.0) - plain
    assert np.sqrt(np.mean(difference**2)) < MAX_RMS_DIFFERENCE_HU
    assert np.abs(difference).max() < MAX_DIFFERENCE_HU


def test_eager_is_the_network_itself(shipped, plain):
    image = torch.from_numpy((phantom_slice(256) + 1024) / 4096).expand(1, 3, -1, -1)
    with torch.inference_mode():
        hu = shipped(image)[0, 0].numpy() * 4096 - 1024
    np.testing.assert_allclose(plain, hu, atol=5e-3)


@pytest.mark.parametrize("name", ["eager", "openvino"])
def test_sizes_may_differ_from_slice_to_slice(name):
    network = build_network(NetworkConfig(encoder="resnet18"), seed=0).eval()
    why = ENGINES[name].unavailable(network, CPU)
    if why:
        pytest.skip(why)
    engine = engine_class(name, network, CPU).build(network, CPU, channels=3)
    for size in ((1, 3, 32, 48), (2, 3, 64, 32), (1, 3, 32, 48)):
        image = torch.rand(size)
        with torch.inference_mode():
            torch.testing.assert_close(engine(image), network(image), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["eager", "openvino"])
def test_an_engine_keeps_its_weights_until_it_is_used(name, shipped, plain):
    why = ENGINES[name].unavailable(shipped, CPU)
    if why:
        pytest.skip(why)
    denoiser = Denoiser(shipped, engine=name)
    gc.collect()
    # These would take the place of weights that were given back.
    others = [torch.full_like(weights, torch.nan) for weights in shipped.parameters() for _ in range(2)]
    np.testing.assert_allclose(denoiser(phantom_slice(256), strength=1.0), plain, atol=MAX_DIFFERENCE_HU)
    assert all(other.isnan().all() for other in others)


def test_what_is_not_here_is_said(monkeypatch, shipped, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"engine compile: it needs a C\+\+ compiler"):
        Denoiser(shipped, engine="compile", device="cpu")
    with pytest.raises(InputError, match="one of eager, mixed, openvino, openvino-streams, compile, found fast"):
        Denoiser(shipped, engine="fast")
    assert "--device cpu" in ENGINES["openvino"].unavailable(shipped, torch.device("cuda"))
    assert ENGINES["mixed"].unavailable(torch.nn.Identity(), CPU)


@pytest.fixture
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def lite(two_threads):
    denoiser = Denoiser.from_pretrained("ct-lowdose-lite", device="cpu", engine="eager")
    if why := ENGINES["openvino-streams"].unavailable(denoiser.network, CPU):
        pytest.skip(why)
    return denoiser


def test_streams_work_on_slices_of_any_size_at_a_time(lite):
    streams = lite.with_engine("openvino-streams")
    assert streams.parallel_calls == 2
    volume = np.stack([phantom_slice(256, z) for z in (-20.0, 0.0, 20.0)])
    volume[1, :80] = -1000  # more air: another size in the network
    volume[2] = -1000  # nothing for the network
    found, expected = streams(volume, strength=1.0), lite(volume, strength=1.0)
    np.testing.assert_allclose(found, expected, atol=MAX_DIFFERENCE_HU)
    np.testing.assert_array_equal(found, streams(volume, strength=1.0))
    np.testing.assert_array_equal(found[1], streams(volume[1], strength=1.0))


def test_streams_refuse_what_one_thread_or_little_memory_would_make_slow(lite, shipped):
    streams = ENGINES["openvino-streams"]
    assert "lite" in streams.unavailable(shipped, CPU)
    assert "--device cpu" in streams.unavailable(lite.network, torch.device("cuda"))
    torch.set_num_threads(1)
    assert "two threads" in streams.unavailable(lite.network, CPU)


def test_the_command_line_offers_every_engine():
    assert {name.value for name in EngineName} == {AUTO, *ENGINES}
