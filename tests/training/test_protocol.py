"""The bundles have the hyper-parameters of the paper, each in one place, and differ only in data and noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import set_rnd, set_track_meta
from PIL import Image

from ctdenoise.errors import InputError
from ctdenoise.training import epoch_length
from ctdenoise.training.configuration import config_files
from ctdenoise.training.resources import names
from tests.conftest import make_series
from tests.training.test_bundle import NAMES, PIPELINES


def config(name: str, *overlays: str) -> dict[str, Any]:
    return ConfigParser.load_config_files([str(file) for file in config_files(name, ["train", *overlays])])


def resolved(name: str, *keys: str) -> list[Any]:
    parser = ConfigParser(config(name))
    return [parser.get_parsed_content(key) for key in keys]


@pytest.mark.parametrize("name", NAMES)
def test_shared_values_are_those_of_the_paper(name):
    found = config(name)
    assert (found["batch_size"], found["crop"], found["seed"]) == (16, 128, 100)
    assert (found["weight_decay"], found["betas"], found["gradient_norm"]) == (1e-4, [0.9, 0.999], 0.01)
    assert (found["learning_rate"], found["final_learning_rate"]) == (3e-4, 1e-6)
    assert (found["mixup_probability"], found["mixup_beta"]) == (0.5, 1.2)
    assert found["optimizer"]["_target_"] == "torch.optim.AdamW"
    assert found["train"]["trainer"]["loss_function"] == {"_target_": "torch.nn.L1Loss"}
    assert found["network"]["levels"] == 4
    assert found["network"]["image_feature"] is True


def test_values_of_each_bundle_are_those_of_the_paper():
    std, low_high, iterations, gamma = resolved("ct_lowdose", "noise_std", "hu_range", "iterations", "gamma")
    assert std * (low_high[1] - low_high[0]) == pytest.approx(80.3, abs=0.05)
    assert (iterations, gamma) == (40_000, 0.025)
    assert config("ct_lowdose")["network"]["grey_input"] == "conv"
    std, iterations, flat, gamma = resolved("natural_gaussian", "noise_std", "iterations", "flat_iterations", "gamma")
    assert std == 15 / 255
    assert (iterations, flat, gamma) == (300_000, 92_000, 0.025)
    shot, read, iterations, flat, gamma = resolved(
        "natural_srgb", "shot_noise", "read_noise", "iterations", "flat_iterations", "gamma"
    )
    assert (shot, read) == (0.16 / 4, 0.06 / 2)
    assert (iterations, flat, gamma) == (300_000, 92_000, 0.05)


def test_the_learning_rate_is_constant_and_then_falls_along_a_cosine():
    parser = ConfigParser({**config("natural_gaussian"), "iterations": 300})
    parser["optimizer"] = {"_target_": "torch.optim.SGD", "params": "$[torch.nn.Parameter(torch.zeros(1))]", "lr": 3e-4}
    scheduler = parser.get_parsed_content("lr_scheduler")
    rates = []
    for _ in range(300):
        rates.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    assert set(rates[:92]) == {3e-4}
    assert rates[92 + 104] == pytest.approx((3e-4 + 1e-6) / 2, rel=1e-3)
    assert scheduler.get_last_lr()[0] == pytest.approx(1e-6, rel=1e-3)
    assert isinstance(scheduler, torch.optim.lr_scheduler.SequentialLR)


@pytest.mark.parametrize("name", names("pipelines"))
def test_a_bundle_repeats_nothing_of_what_it_is_based_on(name):
    own = config_files(name)[-1]
    content = json.loads(own.read_text())
    assert own.parent.parent.name == name
    assert PIPELINES / "common" / "train.json" in config_files(name)
    base = ConfigParser(ConfigParser.load_config_files([str(file) for file in config_files(name)[:-1]]))
    assert not [key for key, value in content.items() if base.get(key, default=ConfigParser) == value]
    assert len(json.dumps(content)) < len(json.dumps(base.get())) / 2


@pytest.mark.parametrize(
    ("name", "overlay"),
    [
        *(
            (name, overlay)
            for name in ("ct_lowdose", "natural_gaussian")
            for overlay in ("in_house", "pretrain_encoder")
        ),
        *(("ct_lowdose", "recorrupted"), ("ct_lowdose", "context"), ("ct_lowdose_lite", "context")),
    ],
)
def test_an_overlay_repeats_nothing_of_what_it_overrides(name, overlay):
    *before, own = (str(file) for file in config_files(name, ["train", overlay]))
    base = ConfigParser(ConfigParser.load_config_files(before))
    assert not [key for key, value in json.loads(Path(own).read_text()).items() if base.get(key, default=0) == value]


def test_overlays_follow_what_they_override():
    files = config_files("ct_lowdose", ["train", "in_house", "evaluate", "multi_gpu_train"])
    assert [file.stem for file in files] == ["train", "ct", "paper", "train", "in_house", "evaluate", "multi_gpu_train"]
    assert config("ct_lowdose", "evaluate")["validation_section"] == "@section"
    assert "$import os" in config("ct_lowdose", "multi_gpu_train")["imports"]
    with pytest.raises(
        InputError, match="expected one of the configuration files compare, context, evaluate, export, in_house"
    ):
        config_files("ct_lowdose", ["train", "none"])


@pytest.mark.parametrize("iterations", [1, 30, 99, 157, 250, 1000, 2000, 5800, 40_000, 300_000])
def test_epochs_are_neither_short_nor_long(iterations):
    length = epoch_length(iterations)
    epochs = iterations // length
    assert length * epochs > iterations - epochs
    assert length == iterations if iterations < 150 else 75 <= length <= 505
    assert epochs <= 20 or length >= 495


def test_natural_lite_trains_on_one_noise_level_at_many_contrasts(tmp_path):
    for index in range(21):
        Image.fromarray(np.full((70, 80, 3), 204, np.uint8)).save(tmp_path / f"{index:02}.png")
    parser = ConfigParser({**config("natural_lite"), "dataset_dir": str(tmp_path)})
    set_track_meta(False)
    dataset = parser.get_parsed_content("train#dataset")
    set_rnd(dataset, 0)
    contrasts, levels = [], []
    for _ in range(60):
        item = dataset[0]
        assert item["image"].shape == (3, 64, 64)
        contrasts.append(float(item["label"].max()) / 0.8)
        levels.append(float((item["image"] - item["label"]).std()) * 255)
    assert levels == pytest.approx([15] * 60, rel=0.05)
    assert min(contrasts) < 0.25
    assert 1 < max(contrasts) <= 4
    assert 0.75 < np.mean([contrast <= 1 for contrast in contrasts]) < 1
    # What is in the cache is not scaled twice.
    assert float(dataset._cache[0]["image"].max()) == pytest.approx(0.8)


@pytest.mark.parametrize("name", NAMES)
def test_hyper_parameters_are_in_the_train_configuration_only(name):
    own = {"0.01", "1.2", "0.0001", "0.025", "0.05", "300000", "40000", "92000", "255"}
    for file in (PIPELINES / name / "configs").glob("*.json"):
        if file.stem in ("train", "in_house", "recorrupted", "pretrain_encoder", "compare", "metadata"):
            continue
        words = set(file.read_text().replace(",", " ").replace("]", " ").replace("[", " ").split())
        assert not words & own, file


def test_a_slice_in_place_of_a_neighbour_has_the_same_noise_in_training(tmp_path):
    """Otherwise a network would learn to average what, in use, are equal slices."""
    for name in "ab":
        make_series(
            tmp_path / "data" / name,
            slices=1 if name == "a" else 3,
            size=(40, 40),
            edit=lambda d, _, name=name: setattr(d, "PatientID", name),
        )
    values = {"dataset_dir": str(tmp_path / "data"), "output_dir": str(tmp_path), "validation_patients": ["b"]}
    values |= {
        "teacher": "ct-lowdose-lite",
        "realisations": 1,
        "drawn_images": 1,
        "crop": 16,
        "one_side": 0,
        "alone": 0,
    }
    parser = ConfigParser({**config("ct_lowdose_lite", "context"), **values})
    set_track_meta(False)
    dataset = parser.get_parsed_content("train#dataset")
    set_rnd(dataset, 0)
    scan, drawn = dataset[0], dataset[1]
    assert len(dataset) == 2
    assert set(scan) == set(drawn) == {"image", "label"}
    assert torch.equal(scan["image"][0], scan["image"][1])
    assert torch.equal(scan["image"][2], scan["image"][1])
    assert float((scan["image"][1] - scan["label"][0]).std()) > 0
    assert not torch.equal(torch.as_tensor(drawn["image"][0]), torch.as_tensor(drawn["image"][1]))
    again = parser.get_parsed_content("validate#dataset")
    assert len(again) == 3


def test_targets_of_another_teacher_are_computed_anew():
    first, second = (
        ConfigParser({**config("ct_lowdose_lite", "context"), "train_data": [{"image": "x"}], "teacher": teacher})
        for teacher in ("ct-lowdose", "ct-lowdose-lite")
    )
    assert first.get_parsed_content("train#scans#data") != second.get_parsed_content("train#scans#data")
