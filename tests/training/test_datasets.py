from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from ctdenoise.errors import InputError
from ctdenoise.training import section_items
from ctdenoise.training.datasets import load_data, prepare, refuse_held_out, write_datalist
from ctdenoise.training.resources import names, resource
from tests.conftest import make_series


def patient(name):
    def edit(dataset, index):
        dataset.PatientID = name

    return edit


def folders(items):
    return {path.split("/")[-2] for item in items for path in item["image"]}


def images(folder, count, *, size=(40, 30), suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.fromarray(np.full((*size, 3), index, np.uint8)).save(folder / f"{index:03d}{suffix}")


def test_ct_is_split_by_patient_with_the_last_one_for_validation(tmp_path):
    for folder, who in (("a", "P1"), ("b", "P2"), ("c", "P1"), ("d", "P3")):
        make_series(tmp_path / folder, slices=2, edit=patient(who))
    data = prepare("own-ct", tmp_path)
    assert folders(data["training"]) == {"a", "b", "c"}
    assert folders(data["validation"]) == {"d"}
    data = prepare("own-ct", tmp_path, validation=["a"])  # by folder, but all of the patient validates
    assert folders(data["validation"]) == {"a", "c"}
    assert folders(prepare("own-ct", tmp_path, validation=["P2"])["validation"]) == {"b"}
    with pytest.raises(InputError, match="expected patient P9"):
        prepare("own-ct", tmp_path, validation=["P9"])


@pytest.mark.parametrize("name", ["own-ct", "aapm-mayo-2016", "ldct-projection-data"])
@pytest.mark.parametrize("by", ["PatientID", "folder"])
def test_the_held_out_patient_is_never_used_for_training(name, by, tmp_path):
    for folder in ("L067", "L333", "L310"):
        make_series(tmp_path / folder, slices=2, edit=patient(folder))
    where = "L506" if by == "folder" else "w"
    make_series(tmp_path / where, slices=2, edit=patient("L506" if by == "PatientID" else "anonymous"))
    data = prepare(name, tmp_path)
    assert folders(data["testing"]) == {where}
    assert where not in folders(data["training"]) | folders(data["validation"])
    with pytest.raises(InputError, match="expected patient L506"):
        prepare(name, tmp_path, validation=["L506"])
    by_hand = {**data, "training": data["training"] + data["testing"]}
    write_datalist(by_hand, tmp_path / "list.json")
    with pytest.raises(InputError, match="held out for tests, found L506"):
        load_data(name, tmp_path, datalist=tmp_path / "list.json")
    with pytest.raises(InputError, match="held out for tests, found L506"):
        refuse_held_out(by_hand["training"])


def test_mayo_pairs_quarter_and_full_dose_by_position_and_uses_full_dose_for_training(tmp_path):
    for who in ("L067", "L333", "L506"):
        for dose in ("full_1mm", "quarter_1mm"):
            make_series(tmp_path / dose / who, slices=3, edit=patient(who))
    data = prepare("aapm-mayo-2016", tmp_path)
    assert {section: len(items) for section, items in data.items()} == {"training": 3, "validation": 3, "testing": 3}
    assert all("full_1mm/L067" in item["image"][0] and "label" not in item for item in data["training"])
    for item in data["validation"] + data["testing"]:
        assert item["label"][0] == item["image"][0].replace("quarter_1mm", "full_1mm")


@pytest.mark.parametrize("name", ["aapm-mayo-2016", "ldct-projection-data"])
def test_patients_of_another_data_set_are_refused(name, tmp_path):
    make_series(tmp_path / "data" / "L067", slices=1, edit=patient("anonymous"))
    make_series(tmp_path / "data" / "b", slices=1, edit=patient("L333"))
    assert prepare(name, tmp_path / "data")["training"]
    make_series(tmp_path / "data" / "c", slices=1, edit=patient("SMITH 12"))
    with pytest.raises(InputError, match=r"found 1 of 3 with other names.*use the data set own-ct") as error:
        load_data(name, tmp_path / "data")
    assert error.value.path.parent.name == "c"
    assert "SMITH" not in str(error.value)


def test_the_real_patients_are_not_those_of_the_challenge(data):
    with pytest.raises(InputError, match="expected only patients whose PatientID or folder is named"):
        prepare("aapm-mayo-2016", data / "ct" / "lidc-0002")


def test_one_patient_is_not_enough_for_training(tmp_path):
    make_series(tmp_path / "a", slices=2)
    with pytest.raises(InputError, match=r"section training .* found none; sections with images: validation \(2\)"):
        section_items(load_data("own-ct", tmp_path), "training")
    with pytest.raises(InputError, match="expected the folder of a data set"):
        load_data("own-ct", tmp_path / "nothing")


def test_image_sets_are_counted_and_split(tmp_path):
    images(tmp_path / "kodak" / "deep", 24)
    data = prepare("kodak24", tmp_path)
    assert len(data["testing"]) == 24
    assert data["training"] == []
    with pytest.raises(InputError, match=r"expected 18 images with names like .*, found 24"):
        prepare("mcmaster", tmp_path)
    data = prepare("own-photos", tmp_path)
    assert (len(data["training"]), len(data["validation"])) == (22, 2)
    assert not {i["image"] for i in data["training"]} & {i["image"] for i in data["validation"]}


def test_noisy_and_clean_images_are_paired_or_the_unpaired_one_is_named(tmp_path):
    for index in range(15):
        for role in ("real", "mean"):
            Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / f"scene{index}_{role}.png")
    data = prepare("cc", tmp_path)
    assert all(item["label"] == item["image"].replace("_real", "_mean") for item in data["testing"])
    Image.fromarray(np.zeros((20, 10, 3), np.uint8)).save(tmp_path / "scene3_mean.png")
    with pytest.raises(InputError, match="expected noisy and clean image of the same size"):
        prepare("cc", tmp_path)
    (tmp_path / "scene3_mean.png").unlink()
    with pytest.raises(InputError, match=r"found 1 without partner, e\.g\. scene3"):
        prepare("cc", tmp_path)


def test_a_datalist_file_holds_what_prepare_returns(tmp_path):
    images(tmp_path / "photos", 25)
    data = prepare("own-photos", tmp_path / "photos")
    write_datalist(data, tmp_path / "list.json")
    assert load_data("own-photos", "anywhere", datalist=tmp_path / "list.json") == data
    (tmp_path / "list.json").write_text("{")
    with pytest.raises(InputError, match="expected a datalist"):
        load_data("own-photos", "anywhere", datalist=tmp_path / "list.json")


def test_each_data_set_has_a_card_with_origin_licence_and_split():
    for name in names("datasets"):
        card = (resource("datasets", name) / "README.md").read_text()
        assert "**Origin**" in card
        assert "**Licence**" in card
        assert "**Split" in card
        assert "**Identified by**" in card
        assert json.loads((resource("datasets", name) / "dataset.json").read_text())["kind"] in ("ct", "images")
    with pytest.raises(InputError, match=r"expected one of aapm-mayo-2016, .*found nothing-like-it"):
        resource("datasets", "nothing-like-it")


def test_the_real_series_are_split_by_the_given_patient(data):
    found = prepare("own-ct", data / "ct", validation=["rider-0117"])
    assert folders(found["validation"]) == {"rider-0117"}
    assert len(found["validation"]) == 40
    assert {"lidc-0314", "acrin-flt-013"} <= folders(found["training"])


def test_the_real_photographs_are_the_training_set_of_the_paper(data):
    found = prepare("cbsd432", data / "natural")
    assert (len(found["training"]), len(found["validation"])) == (410, 22)
