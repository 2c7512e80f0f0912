from __future__ import annotations

import numpy as np
from monai.transforms import Compose, RandGaussianNoised
from PIL import Image

from ctdenoise.io.dicom import read_slice
from ctdenoise.training import (
    LoadCTSliced,
    LoadNeighbourhoodd,
    LoadPhotographd,
    SmoothCTd,
    neighbourhoods,
    prepare,
    slabs,
    validation_set,
)
from tests.conftest import make_series


def test_slices_are_read_as_hu(tmp_path):
    make_series(tmp_path / "a", slices=2)
    image = LoadCTSliced("image")({"image": [str(tmp_path / "a" / "IMG002")]})["image"]
    np.testing.assert_array_equal(image[0], read_slice(tmp_path / "a" / "IMG002").hu)
    assert image.shape == (1, 40, 36)


def test_slabs_average_neighbouring_slices_over_a_thickness(tmp_path):
    make_series(tmp_path / "a", slices=4)  # 2.5 mm apart
    make_series(tmp_path / "b", slices=2)
    items = slabs([item for name in "ab" for item in prepare("own-ct", tmp_path / name)["validation"]], 5.0)
    names = [[path.split("/")[-1] for path in item["image"]] for item in items]
    assert names == [["IMG004", "IMG003"], ["IMG003", "IMG002"], ["IMG002", "IMG001"], ["IMG002", "IMG001"]]
    slices = [read_slice(tmp_path / "a" / name).hu for name in names[0]]
    np.testing.assert_allclose(LoadCTSliced("image")(items[0])["image"][0], sum(slices) / 2, atol=1e-3)
    assert [len(item["image"]) for item in slabs(items[:1], 0.0)] == [2]


def test_slices_have_their_neighbours_and_themselves_at_ends_and_gaps(tmp_path):
    make_series(tmp_path / "a", slices=5)
    make_series(tmp_path / "b", slices=1)
    (tmp_path / "a" / "IMG002").unlink()  # the fourth
    listed = [item for name in "ab" for item in prepare("own-ct", tmp_path / name)["validation"]]
    items = neighbourhoods(listed, 3)
    names = [["".join(path[-1] for path in paths) for paths in item["image"]] for item in items]
    assert names == [["5", "5", "4"], ["5", "4", "3"], ["4", "3", "3"], ["1", "1", "1"], ["1", "1", "1"]]
    assert [item["missing"] for item in items] == [[0], [], [2], [0, 2], [0, 2]]
    image = LoadNeighbourhoodd("image")(items[1])["image"]
    slices = [read_slice(tmp_path / "a" / f"IMG00{name}").hu for name in names[1]]
    np.testing.assert_array_equal(image, np.stack(slices))


def test_smoothing_removes_noise_and_keeps_edges():
    rng = np.random.default_rng(0)
    clean = np.full((1, 128, 128), 40, np.float32)
    clean[:, :, 64:] = 240
    for noise in (8, 25):
        noisy = (clean + rng.normal(0, noise, clean.shape)).astype(np.float32)
        smooth = SmoothCTd("image")({"image": noisy, "other": 1})["image"]
        assert smooth.shape == clean.shape
        assert (smooth - clean)[:, 8:-8, 8:56].std() < 0.35 * noise
        assert smooth[:, :, 66:].mean() - smooth[:, :, :62].mean() > 190


def test_photographs_are_read_as_three_channels(tmp_path):
    Image.fromarray(np.full((5, 7), 255, np.uint8)).save(tmp_path / "grey.png")
    image = LoadPhotographd("image")({"image": str(tmp_path / "grey.png")})["image"]
    assert image.shape == (3, 5, 7)
    assert bool((image == 1).all())


def test_validation_noise_is_repeatable_and_real_pairs_are_not_changed():
    items = [{"image": np.full((1, 4, 4), i, np.float32)} for i in range(9)]
    noise = Compose([RandGaussianNoised("image", prob=1.0, std=0.1, sample_std=False)])
    once, again = (validation_set(items, dict, noise, count=3, seed=5) for _ in range(2))
    assert [float(item["label"].mean()) for item in once] == [0, 4, 8]
    for one, other in zip(once, again, strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
        assert 0.02 < np.std(np.asarray(one["image"]) - one["label"]) < 0.2
    noises = [np.asarray(item["image"]) - item["label"] for item in once]
    assert not np.array_equal(noises[0], noises[1])
    pair = {"image": np.ones((1, 4, 4)), "label": np.zeros((1, 4, 4))}
    (kept,) = validation_set([pair], dict, noise, count=3, seed=5)
    assert kept["image"] is pair["image"]


def test_validation_noise_is_added_where_the_target_is_computed():
    def load(item):
        return {**item, "label": item["image"] + 1}

    noise = Compose([RandGaussianNoised("image", prob=1.0, std=0.1, sample_std=False)])
    (one,) = validation_set([{"image": np.zeros((1, 8, 8), np.float32)}], load, noise, count=1, seed=0)
    assert float(np.std(np.asarray(one["image"]))) > 0.05
    np.testing.assert_array_equal(one["label"], np.ones((1, 8, 8)))
