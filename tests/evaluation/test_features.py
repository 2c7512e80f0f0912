from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from ctdenoise.cli import app
from ctdenoise.evaluation.distortions import distortions
from ctdenoise.evaluation.feature_figure import curve_styles, feature_figure
from ctdenoise.evaluation.features import FeatureAnalysis, analyse
from ctdenoise.evaluation.stacks import open_stack
from ctdenoise.models import build_encoder
from tests.conftest import make_series


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for name in "abc":
        coarse = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8))
        coarse.resize((80, 64 if name == "a" else 96), Image.Resampling.BICUBIC).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def document(photographs):
    return analyse([open_stack(photographs)], {"random-rn50": None}, count=3)


def test_every_level_and_distortion_is_measured(document):
    levels = document.encoders["random-rn50"]
    assert [(level.scale, level.channels) for level in levels] == [
        ("1/2", 64),
        ("1/4", 256),
        ("1/8", 512),
        ("1/16", 1024),
    ]
    for level in levels:
        assert set(level.distortions) == set(distortions(None))
        for row in level.distortions.values():
            assert -1 <= row.cosine <= 1.0001
            assert 0 <= row.cka <= 1.0001
            assert row.found in (0, 1 / 3, pytest.approx(2 / 3), 1)


def test_more_noise_changes_features_more_and_own_images_are_found(document):
    stem = document.encoders["random-rn50"][0].distortions
    for measure in ("cosine", "cka"):
        values = [getattr(stem[f"Gaussian {level}"], measure) for level in (5, 15, 25, 50)]
        assert values == sorted(values, reverse=True)
        assert getattr(stem["blur 1 px"], measure) > getattr(stem["blur 2 px"], measure)
    assert stem["Gaussian 5"].found == 1
    assert stem["Gaussian 5"].cosine > document.encoders["random-rn50"][0].content


def test_cosine_and_cka_are_those_of_the_features(photographs):
    stack = open_stack(photographs)
    document = analyse([stack], {"ctdenoise-rn50": None}, count=3)
    from ctdenoise.models.sources import encoder_source, load_source

    encoder = build_encoder("RN50").eval()
    load_source(encoder, encoder_source("ctdenoise-rn50"))
    maps = []
    for index in range(3):
        image = stack.read(index)
        top = (image.shape[0] - 64) // 2
        tensor = torch.from_numpy(image[top : top + 64].transpose(2, 0, 1).copy())[None]
        with torch.no_grad():
            maps.append(encoder(tensor)[3].flatten().double())
    cosine = [torch.nn.functional.cosine_similarity(maps[i], maps[j], dim=0) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert document.encoders["ctdenoise-rn50"][2].content == pytest.approx(float(sum(cosine) / 3), abs=1e-4)


def test_ct_has_lower_doses_too(tmp_path):
    stack = open_stack(make_series(tmp_path / "ct", slices=2, size=(64, 64)))
    document = analyse([stack], {"random-rn50": None}, count=2)
    assert document.kind == "CT"
    assert {"25% dose", "10% dose"} <= set(document.encoders["random-rn50"][0].distortions)


def test_the_command_writes_figure_and_json_and_takes_weights_files(photographs, tmp_path):
    torch.manual_seed(1)
    weights = tmp_path / "mine.pth"
    torch.save(build_encoder("RN50").state_dict(), weights)
    command = [
        "features",
        str(photographs),
        "-o",
        str(tmp_path / "out"),
        "--encoder",
        f"clip-rn50={weights}",
        "--count",
        "2",
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "clip-rn50" in done.output
    written = (tmp_path / "out" / "features.json").read_text()
    assert json.loads(written)["schema"] == "ctdenoise-features/1"
    document = FeatureAnalysis.model_validate_json(written)
    assert document.images == 2
    assert Image.open(tmp_path / "out" / "features.png").size[0] > 300
    feature_figure(document, tmp_path / "again.png")


def test_curves_of_the_figure_differ_in_hue_by_kind_and_in_style_by_level():
    styles = curve_styles(distortions(0.7))
    assert len({tuple(style.values()) for style in styles.values()}) == len(styles)
    colours = {name: style["color"] for name, style in styles.items()}
    assert len({colours[f"Gaussian {level}"] for level in (5, 15, 25, 50)}) == 1
    kinds = ("Gaussian 5", "spatial Gaussian 40", "Poisson 2", "speckle 25", "salt and pepper 2 %", "blur 1 px")
    kinds += ("JPEG 30", "25% dose")
    assert len({colours[name] for name in kinds}) == len(kinds)
    assert colours["25% dose"] == colours["10% dose"]


def test_ct_beside_photographs_is_wrong_usage(photographs, tmp_path):
    series = make_series(tmp_path / "ct")
    done = CliRunner().invoke(app, ["features", str(photographs), str(series), "-o", str(tmp_path / "out")])
    assert done.exit_code == 2
