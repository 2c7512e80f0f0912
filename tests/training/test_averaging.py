"""Training of the weights with which slices are averaged with their neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from ctdenoise import Denoiser
from ctdenoise.errors import InputError
from ctdenoise.models.averaging import NeighbourAveraging
from ctdenoise.models.zoo import describe, model_folder
from ctdenoise.training.averaging import main, train
from ctdenoise.training.neighbour_stacks import Stack, stacks
from tests.conftest import make_series


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    return make_series(tmp_path_factory.mktemp("training") / "series", slices=5, size=(200, 210))


@pytest.fixture(scope="module")
def examples(series) -> list[Stack]:
    return list(stacks([series], smooth, 8, seed=0))


def smooth(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    return uniform_filter(hu, (0, 3, 3), mode="nearest")


def same(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    return hu


def relative_error(averaging: NeighbourAveraging, examples: list[Stack]) -> float:
    with torch.inference_mode():
        averaged = torch.cat([averaging(one.noisy[None], one.denoised[None]) for one in examples])
    truth, before = (torch.stack([getattr(one, name)[1] for one in examples]) for name in ("clean", "denoised"))
    return float((averaged - truth).abs().mean() / (before - truth).abs().mean())


def train_averaging(series: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the command, for a moment."""
    options = ["--model", "ct-lowdose-lite", "--stacks", "2", "--iterations", "2"]
    monkeypatch.setattr("sys.argv", ["averaging", str(series), "-o", str(folder), *options])
    main()


def test_stacks_hold_noise_and_ellipsoids_of_known_contrast(series, examples):
    again = list(stacks([series], smooth, 2, seed=0))
    assert torch.equal(again[1].noisy, examples[1].noisy)
    for stack in examples:
        assert stack.clean.shape == stack.noisy.shape == stack.denoised.shape == (3, 192, 192)
        assert 5 < (stack.noisy - stack.clean).std() < 100
        assert stack.ellipsoids.max() == len(stack.contrasts) > 3
        assert all(25 <= contrast <= 300 for contrast in stack.contrasts)


def test_training_reduces_the_error_and_a_price_on_contrast_restrains_it(examples):
    found = {}
    for keep in (0.0, 1000.0):
        torch.manual_seed(0)
        averaging = NeighbourAveraging()
        train(averaging, examples, iterations=20, keep=keep, seed=0)
        with torch.inference_mode():
            weights = [averaging.weights(one.noisy[None], one.denoised[None]).mean() for one in examples]
        found[keep] = relative_error(averaging, examples), float(np.mean(weights))
    assert found[0.0][0] < 0.99
    assert found[1000.0][1] < found[0.0][1]


def test_the_command_writes_a_model_that_denoises_with_neighbours(series, tmp_path, monkeypatch):
    train_averaging(series, tmp_path / "m", monkeypatch)
    before, after = describe("ct-lowdose-lite"), describe(tmp_path / "m")
    assert after.name == "ct-lowdose-lite-context"
    assert after.decoder_sha256 == before.decoder_sha256
    assert after.sha256 != before.sha256
    denoiser = Denoiser.from_pretrained(tmp_path / "m", engine="eager")
    alone = Denoiser.from_pretrained("ct-lowdose-lite", engine="eager")
    hu = np.random.default_rng(0).normal(40, 20, (3, 64, 64)).astype(np.float32)
    assert denoiser.context == 1
    assert np.abs(denoiser(hu, strength=1)[1] - alone(hu, strength=1)[1]).max() > 0.1
    np.testing.assert_array_equal(denoiser(hu[1], strength=1), alone(hu[1], strength=1))


def test_weights_that_are_damaged_or_another_networks_are_refused(series, tmp_path, monkeypatch):
    train_averaging(series, tmp_path / "m", monkeypatch)
    weights = tmp_path / "m" / "averaging.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    with pytest.raises(InputError, match="SHA-256"):
        Denoiser.from_pretrained(tmp_path / "m")
    weights.write_bytes((model_folder("ct-lowdose-lite") / "decoder.safetensors").read_bytes())
    description = (tmp_path / "m" / "model.json").read_text()
    ours, other = describe(tmp_path / "m").averaging_sha256, describe("ct-lowdose-lite").decoder_sha256
    (tmp_path / "m" / "model.json").write_text(description.replace(str(ours), other))
    with pytest.raises(InputError, match="NeighbourAveraging"):
        Denoiser.from_pretrained(tmp_path / "m")


def test_a_folder_without_a_series_is_named(tmp_path):
    make_series(tmp_path / "short", slices=2)
    with pytest.raises(InputError, match="at least 3 CT slices"):
        next(stacks([tmp_path / "short"], same, 1, seed=0))


def test_slices_that_are_too_small_are_named(tmp_path):
    small = make_series(tmp_path / "small", slices=3)
    with pytest.raises(InputError, match="at least 192 pixels"):
        list(stacks([small], same, 8, seed=0))
