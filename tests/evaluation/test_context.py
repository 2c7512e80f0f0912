from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ctdenoise.evaluation import context_comparison, sphere_comparison
from ctdenoise.inference import Denoiser
from ctdenoise.noise.along_normal import noise_correlation
from tests.conftest import make_series


class Mean(nn.Module):
    """The mean of three slices."""

    def forward(self, image: Tensor) -> Tensor:
        return image.mean(dim=1, keepdim=True)


def cells(table: str) -> list[dict[str, str]]:
    head, _, *lines = ([cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines())
    return [dict(zip(head, line, strict=True)) for line in lines]


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_the_correlation_of_the_noise_of_neighbours_is_measured(rho):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 20, (4, 200, 200))
    noise[1:] = rho * noise[:-1] + np.sqrt(1 - rho**2) * noise[1:]
    assert noise_correlation((40 + noise[:2]).astype(np.float32), 0.8) == pytest.approx(rho, abs=0.04)


def test_contrast_and_width_of_spheres_are_kept_by_what_changes_nothing_and_lost_by_averaging():
    methods = {"nothing": Denoiser(nn.Identity(), channels=1), "mean": Denoiser(Mean(), channels=3, context=1)}
    found = {row["method"]: row for row in cells(sphere_comparison(methods, spacings_mm=[2.0]))}
    nothing, mean = (
        {key: float(value.rstrip("%")) for key, value in found[method].items() if "%" in value}
        for method in ("nothing", "mean")
    )
    assert [nothing[key] for key in nothing if key.startswith("contrast")] == pytest.approx([100] * 3, abs=12)
    assert mean["contrast, 4 mm"] < 75
    assert mean["width, 4 mm"] > 130
    assert mean["contrast, 8 mm"] > mean["contrast, 4 mm"]


def test_series_are_compared_with_independent_and_with_correlated_noise(tmp_path):
    source = make_series(tmp_path / "series", slices=8, size=(160, 160))
    torch.manual_seed(0)
    methods = {"nothing": Denoiser(nn.Identity(), channels=1), "mean": Denoiser(Mean(), channels=3, context=1)}
    independent, correlated = cells(context_comparison(methods, [source], doses=[0.25], slices=2))
    assert independent["series"] == "series (2.5 mm apart, 2.5 mm thick), 25% dose, noise ρ 0.00"
    assert "25% dose, noise ρ" in correlated["series"]
    value = {key: float(text.removesuffix(" dB")) for key, text in independent.items() if key != "series"}
    assert value["nothing"] == value["none"] == value["nothing, single slices"] == value["mean, single slices"]
    assert value["mean"] > value["nothing, mixed"] > value["none"] + 0.5
