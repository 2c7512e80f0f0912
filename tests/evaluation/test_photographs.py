from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ctdenoise.cli import app
from ctdenoise.errors import InputError
from ctdenoise.evaluation import photograph_comparison
from ctdenoise.evaluation.suite import find_datasets, natural_ood, suite_table
from tests.evaluation.test_comparison import number, rows


def test_photographs_are_compared_with_the_noise_itself_and_tuned_filters(tmp_path):
    step = np.zeros((48, 48, 3), np.uint8)
    step[:, 24:] = 180
    Image.fromarray(step).save(tmp_path / "a.png")
    noises = [("gaussian", 25), ("spatial gaussian", 45), ("poisson", 3)]
    others = {"mean": lambda image: 0 * image + image.mean()}
    table = rows(
        photograph_comparison(lambda image: 0 * image, [str(tmp_path / "a.png")], noises=noises, others=others)
    )
    methods = ["none", "Gaussian blur", "total variation", "non-local means", "ctdenoise", "mean"]
    found = [row["method"] for row in table if row["method"] != "BM3D"]
    assert found == methods * 3
    psnr = {(row["noise"], row["method"]): number(row["PSNR"]) for row in table}
    for kind, level in noises:
        name = f"{kind} {level}"
        assert psnr[name, "total variation"] > psnr[name, "none"] > psnr[name, "ctdenoise"]
        assert psnr[name, "non-local means"] > psnr[name, "none"]
    # Half of it is black, where clipping takes half of the noise away: 255 / 25 is 20.2 dB, and less is left.
    assert 20.2 < psnr["gaussian 25", "none"] < 22.5


def step(path, high=180):
    values = np.zeros((48, 48, 3), np.uint8)
    values[:, 24:] = high
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture
def benches(tmp_path):
    """Two photographs of Kodak24 and one pair of CC."""
    step(tmp_path / "Kodak24" / "kodim01.png")
    step(tmp_path / "Kodak24" / "kodim02.png", high=90)
    step(tmp_path / "CC" / "a_mean.png", high=200)
    step(tmp_path / "CC" / "a_real.png", high=210)
    return tmp_path


def test_a_suite_has_the_papers_noises_and_says_what_is_missing(benches):
    found, missing = find_datasets(benches)
    noises = [dataset.noise for dataset in found if dataset.name == "kodak24"]
    assert noises == [
        *(f"gaussian {level}" for level in (15, 25, 50)),
        *(f"spatial gaussian {level}" for level in (40, 45, 50, 55)),
        *(f"poisson {level:g}" for level in (2, 2.5, 3, 3.5)),
        "speckle 25",
        "salt and pepper 0.02",
    ]
    assert [dataset.noise for dataset in found if dataset.name == "cc"] == ["camera"]
    assert "kodak24: 2 of 24 images" in missing
    assert "cbsd68: no folder" in missing
    clean, noisy = next(iter(found[0].pairs))
    expected = np.random.RandomState(0).normal(0, 15 / 255, clean.shape)
    assert noisy - clean == pytest.approx(expected, abs=1e-6)


def test_each_method_is_measured_on_each_data_set(benches):
    calls = []
    document = natural_ood(benches, {"half": lambda image: image / 2}, advance=lambda: calls.append(1))
    assert len(calls) == 13 * 2 + 1
    real = {row.method: row for row in document.rows if row.set == "cc"}
    # Half of the image is 10 of 255 off.
    assert real["none"].psnr == pytest.approx(20 * np.log10(255 / 10) + 10 * np.log10(2), abs=1e-3)
    assert real["half"].psnr < real["none"].psnr <= real["total variation"].psnr + 0.5
    assert "Incomplete: kodak24: 2 of 24 images." in suite_table(document)
    with pytest.raises(InputError, match="expected folders called"):
        natural_ood(benches / "CC", {})


@pytest.mark.parametrize("extra", [[], ["--data", "x", "--reference", "y"], ["--data", "x", "--suite", "other"]])
def test_a_suite_wants_data_and_no_images(extra, tmp_path):
    command = ["evaluate", "--suite", "natural-ood", "-o", str(tmp_path / "out"), *extra]
    assert CliRunner().invoke(app, command).exit_code == 2


def test_the_command_writes_the_table_of_models_that_ship(benches, tmp_path_factory):
    (benches / "Kodak24").rename(benches / "other")
    out = tmp_path_factory.mktemp("out")
    command = ["evaluate", "--suite", "natural-ood", "--data", str(benches), "--model", "natural-lite", "-o", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert (out / "suite.md").read_text() == done.output
    document = json.loads((out / "suite.json").read_text())
    assert [row["method"] for row in document["rows"] if row["method"] != "BM3D"] == [
        "none",
        "Gaussian blur",
        "total variation",
        "non-local means",
        "natural-lite",
    ]
