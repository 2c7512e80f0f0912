"""The comparison patient by patient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ctdenoise.errors import InputError
from ctdenoise.evaluation import patient_comparison
from ctdenoise.inference import Denoiser
from tests.conftest import make_series
from tests.evaluation.test_comparison import number, rows


class Add(torch.nn.Module):
    """Adds 4 HU of the range of 4096."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image + 4 / 4096


@pytest.mark.slow
def test_patients_are_compared_with_filters_tuned_on_them(data):
    folders = [data / "ct-singles" / name for name in ("tcga-luad-17-z021", "stageii-colorectal-ct-005")]
    psnr, bias = patient_comparison({"added": Denoiser(Add())}, folders, dose=0.25, slices=1, strength=1).split("\n\n")
    table = rows(psnr)
    assert [row["patient (slices)"] for row in table] == [f"{folder.name} (1)" for folder in folders] + ["mean"]
    for row in table:
        assert number(row["added"]) < number(row["none"]) < number(row["Gaussian blur"])
        assert number(row["non-local means"]) > number(row["none"])
    assert number(table[2]["none"]) == pytest.approx(
        (number(table[0]["none"]) + number(table[1]["none"])) / 2, abs=0.01
    )
    by = {row["bias"]: row for row in rows(bias)}
    for tissue in ("fat", "soft tissue"):
        assert number(by["added"][tissue]) - number(by["none"][tissue]) == pytest.approx(4, abs=0.02)


def test_a_folder_without_soft_tissue_is_named(tmp_path):
    def air(dataset, _):
        dataset.PixelData = np.full((dataset.Rows, dataset.Columns), 24, np.int16).tobytes()

    make_series(tmp_path / "a", slices=1, size=(64, 64), edit=air)
    with pytest.raises(InputError, match="expected a CT slice with uniform soft tissue, found none"):
        patient_comparison({}, [tmp_path / "a"], dose=0.25)
