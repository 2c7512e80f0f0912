from __future__ import annotations

import re
import sys

import pytest
import torch
from ignite.engine import Engine
from monai.data import Dataset
from monai.transforms import RandGaussianNoise

from ctdenoise.training import GradientClipping, SeedEachEpoch, TrainingProgress, best_checkpoint, latest_checkpoint


class Loader:
    def __init__(self) -> None:
        self.dataset = Dataset([torch.zeros(1, 4, 4)], RandGaussianNoise(prob=1.0))


def draws(seed: int, epoch: int, rank: int = 0) -> tuple[float, float]:
    """Return what torch and a MONAI transform draw at the start of this epoch."""
    engine = Engine(lambda *_: None)
    engine.data_loader = Loader()
    engine.state.epoch = epoch
    SeedEachEpoch(seed, rank)(engine)
    return float(torch.rand(())), float(engine.data_loader.dataset[0].sum())


def test_random_numbers_differ_between_epochs_and_processes_and_are_repeatable():
    assert draws(100, 3) == draws(100, 3)
    distinct = [draws(100, 3), draws(100, 4), draws(100, 3, rank=1), draws(101, 3, rank=1)]
    for index in (0, 1):
        assert len({d[index] for d in distinct}) == 4


def test_gradients_are_clipped_to_the_norm():
    network = torch.nn.Linear(3, 3)
    (100 * network(torch.rand(2, 3)).sum()).backward()
    engine = Engine(lambda *_: None)
    engine.scaler = None
    GradientClipping(network, 0.01)(engine)
    norm = torch.stack([p.grad.norm() for p in network.parameters()]).norm()
    assert norm == pytest.approx(0.01, rel=1e-4)


def test_scaled_gradients_are_clipped_by_their_unscaled_norm():
    network = torch.nn.Linear(3, 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    engine = Engine(lambda *_: None)
    engine.optimizer = optimizer
    engine.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    loss = 1e-3 * network(torch.ones(1, 3)).sum()
    engine.scaler.scale(loss).backward()
    GradientClipping(network, 100.0)(engine)
    torch.testing.assert_close(network.bias.grad, torch.full((3,), 1e-3))


def test_the_bar_shows_loss_learning_rate_and_validation_psnr():
    network = torch.nn.Linear(1, 1)
    evaluator = Engine(lambda *_: None)
    evaluator.state.key_metric_name = "psnr"
    bar = TrainingProgress(torch.optim.SGD(network.parameters(), lr=3e-4), evaluator)
    assert bar.values({"loss": torch.tensor(0.0123456)}) == {"loss": "0.01235", "lr": "3.00e-04"}
    evaluator.state.metrics = {"psnr": 31.416}
    assert bar.values({"loss": torch.tensor(0.5)})["validation PSNR"] == "31.42 dB"


def test_the_bar_is_shown_on_a_terminal_and_not_in_a_pipe(capsys, monkeypatch):
    def train() -> str:
        engine = Engine(lambda *_: {"loss": torch.tensor(0.25)})
        evaluator = Engine(lambda *_: None)
        evaluator.state.key_metric_name = "psnr"
        bar = TrainingProgress(torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=3e-4), evaluator)
        bar.attach(engine)
        engine.run([0, 1, 2], max_epochs=2)
        return capsys.readouterr().err

    assert train() == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown = train()
    assert "Epoch [2/2]" in shown
    assert "loss=0.25000, lr=3.00e-04" in shown


def test_the_best_checkpoint_is_the_one_of_highest_metric_and_the_latest_the_newest(tmp_path):
    assert best_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path) is None
    for name in ("best_model_key_metric=9.5.pt", "best_model_key_metric=28.25.pt", "best_model_key_metric=-1.0.pt"):
        (tmp_path / name).touch()
    (tmp_path / "latest_checkpoint_3.pt").touch()
    assert re.search("28.25", best_checkpoint(tmp_path).name)
    assert latest_checkpoint(tmp_path).name == "latest_checkpoint_3.pt"
