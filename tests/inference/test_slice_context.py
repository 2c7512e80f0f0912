"""Neighbouring slices as context: results are compared with the same computed directly from decoded arrays."""

from __future__ import annotations

import math
import random
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from ctdenoise.inference import RunOptions, apply_operation, slice_pipeline
from ctdenoise.inference.journal import Journal
from ctdenoise.inference.operations import Resolved, SeriesSample, SliceInfo
from ctdenoise.inference.slice_pipeline import SlicePipeline
from ctdenoise.io.dicom import CTSlice, Derivation, SliceFile, discover, read_slice
from ctdenoise.io.volumes import read_volume
from ctdenoise.provenance import Provenance
from tests.conftest import Edit, make_series
from tests.io.dicom.test_enhanced import make_enhanced

#: By context, a weight for each slice of the window: no two are equal, and all sums of HU are exact.
WEIGHTS = {0: [0.5], 1: [0.25, 0.5, 0.125], 2: [0.125, 0.0625, 0.5, 0.25, 0.03125]}


def weighted(window: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    weights = np.array(WEIGHTS[len(window) // 2], np.float32)
    return np.einsum("k,khw->hw", weights, np.stack(window))


@dataclass(frozen=True)
class Weighted:
    """Weighs a slice and its neighbours; both the operation and the request for it."""

    context: int = 1
    batch_size: int = 1
    parallel_calls: int = 1
    series_number_offset: int = 5000
    keys: list[str] = field(default_factory=list)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"context": self.context}

    def resolve(self, sample: SeriesSample) -> Resolved:
        return Resolved(self)

    def restore(self, parameters: Mapping[str, Any]) -> Weighted:
        return self

    @property
    def provenance(self) -> Provenance:
        return Provenance(
            name="weighted",
            version="1",
            parameters=self.parameters,
            label="weighted",
            description="Weighted sum",
            series_number_offset=5000,
        )

    def __call__(self, hu: NDArray[np.float32], slices: Sequence[SliceInfo]) -> NDArray[np.float32]:
        assert hu.dtype == np.float32
        assert hu.shape[:-2] == ((len(slices), 2 * self.context + 1) if self.context else (len(slices),))
        assert len(slices) <= self.batch_size
        self.keys.extend(info.key for info in slices)
        return np.stack([weighted(window) for window in hu.reshape(len(hu), -1, *hu.shape[-2:])])

    def run_info(self) -> dict[str, Any]:
        return {}


def expected(hu: Sequence[NDArray[np.float32]], stacks: str, context: int) -> list[NDArray[np.float32]]:
    """Return the results of slices in order of position; slices whose letters in `stacks` differ are no neighbours."""
    results = []
    for index, letter in enumerate(stacks):
        others = range(index - context, index + context + 1)
        results.append(weighted([hu[o if 0 <= o < len(stacks) and stacks[o] == letter else index] for o in others]))
    return results


def stored_by_source(folder: Path) -> dict[str, NDArray[np.integer]]:
    """Return the stored values of derived slices by the UID of their source."""
    images = [read_slice(path) for path in folder.glob("*.dcm")]
    return {image.dataset.SourceImageSequence[0].ReferencedSOPInstanceUID: image.stored for image in images}


def assert_same(one: Mapping[str, NDArray[np.integer]], other: Mapping[str, NDArray[np.integer]]) -> None:
    assert one.keys() == other.keys()
    for uid, values in one.items():
        np.testing.assert_array_equal(values, other[uid])


def move(*, from_index: int, by_mm: float) -> Edit:
    """Return an edit that moves slices along the normal from an index on."""

    def edit(image: Dataset, index: int) -> None:
        image.ImagePositionPatient = [0, 0, 2.5 * index + (by_mm if index >= from_index else 0)]

    return edit


def change(*, from_index: int = 3, to_index: int = 6, **values: Any) -> Edit:
    """Return an edit that changes elements of the slices from an index to before another."""

    def edit(image: Dataset, index: int) -> None:
        if from_index <= index < to_index:
            for keyword, value in values.items():
                setattr(image, keyword, value)

    return edit


def crop(image: Dataset, index: int) -> None:
    """Make slice 2 smaller."""
    if index == 2:
        image.Rows = 30
        image.PixelData = image.PixelData[: 30 * image.Columns * 2]


def without_position(image: Dataset, _: int) -> None:
    del image.ImagePositionPatient


def displace(image: Dataset, index: int) -> None:
    """Move the last slices by two pixels in their plane."""
    image.ImagePositionPatient = [1.6 if index >= 3 else 0, 0, 2.5 * index]


TILT = [1, 0, 0, 0, math.cos(0.35), math.sin(0.35)]
ROUNDING = [1, 0, 1e-6, 0, 1, -2e-6]
#: How a series of six slices is changed, and which of its slices, by their letters, are neighbours then.
SERIES: dict[str, tuple[Edit | None, str]] = {
    "undisturbed": (None, "AAAAAA"),
    "gap": (move(from_index=3, by_mm=0.6 * 2.5), "AAABBB"),
    "uneven but no gap": (move(from_index=3, by_mm=0.4 * 2.5), "AAAAAA"),
    "one position twice": (move(from_index=3, by_mm=-2.5), "AAABBB"),
    "no positions": (without_position, "ABCDEF"),
    # Where the gantry is tilted, the table moves the anatomy through the plane, here by one pixel a slice.
    "tilt": (change(ImageOrientationPatient=TILT), "AAABCD"),
    "pixel spacing": (change(PixelSpacing=[0.7, 0.7]), "AAABBB"),
    "another centre": (displace, "AAABBB"),
    "rounded otherwise": (change(ImageOrientationPatient=ROUNDING), "AAAAAA"),
    "acquisition": (change(AcquisitionNumber=2), "AAABBB"),
    "one of another acquisition": (change(from_index=2, to_index=3, AcquisitionNumber=2), "AABAAA"),
    "one of another size": (crop, "AABAAA"),
}


@pytest.mark.parametrize(("batch_size", "threads"), [(1, 3), (3, 1)])
@pytest.mark.parametrize("context", [0, 1, 2])
@pytest.mark.parametrize("name", SERIES)
def test_slices_get_their_neighbours_and_themselves_where_there_are_none(name, context, batch_size, threads, tmp_path):
    edit, stacks = SERIES[name]
    make_series(tmp_path / "in", slices=6, edit=edit)
    operation = Weighted(context, batch_size, threads)
    (result,) = apply_operation(operation, tmp_path / "in", tmp_path / "out").results
    sources = [read_slice(file.path) for file in discover(tmp_path / "in").series[0].slices]
    assert sorted(operation.keys) == sorted(f"{source.dataset.SOPInstanceUID}/0" for source in sources)
    results = expected([source.hu for source in sources], stacks, context)
    assert_same(
        stored_by_source(result.folder),
        {s.dataset.SOPInstanceUID: s.to_stored(hu).values for s, hu in zip(sources, results, strict=True)},
    )


@pytest.mark.parametrize("context", [1, 2])
def test_a_missing_slice_is_a_gap(context, tmp_path):
    source = make_series(tmp_path / "in", slices=7)
    discover(source).series[0].slices[2].path.unlink()
    (result,) = apply_operation(Weighted(context), source, tmp_path / "out").results
    sources = [read_slice(file.path) for file in discover(source).series[0].slices]
    results = expected([source.hu for source in sources], "AABBBB", context)
    assert_same(
        stored_by_source(result.folder),
        {s.dataset.SOPInstanceUID: s.to_stored(hu).values for s, hu in zip(sources, results, strict=True)},
    )


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("context", [1, 2])
def test_a_neighbour_that_cannot_be_read_is_replaced_by_the_slice(context, batch_size, tmp_path):
    source = make_series(tmp_path / "in", slices=6)
    files = discover(source).series[0].slices
    images = [read_slice(file.path) for file in files]
    files[2].path.write_bytes(files[2].path.read_bytes()[:-500])
    (result,) = apply_operation(Weighted(context, batch_size), source, tmp_path / "out").results
    assert [note.file for note in result.manifest.failed] == [files[2].name]
    results = expected([image.hu for image in images], "AABAAA", context)
    wanted = {i.dataset.SOPInstanceUID: i.to_stored(hu).values for i, hu in zip(images, results, strict=True)}
    del wanted[files[2].uid]
    assert_same(stored_by_source(result.folder), wanted)


def test_names_of_files_do_not_matter(tmp_path):
    source = make_series(tmp_path / "in", slices=7)
    (first,) = apply_operation(Weighted(2), source, tmp_path / "a").results
    paths = sorted(source.iterdir())
    names = [f"{number}.bin" for number in range(len(paths))]
    random.Random(3).shuffle(names)
    for path, name in zip(paths, names, strict=True):
        path.rename(source / name)
    (second,) = apply_operation(Weighted(2, 3), source, tmp_path / "b").results
    assert_same(stored_by_source(first.folder), stored_by_source(second.folder))
    assert [s.derived_uid for s in first.manifest.slices] == [s.derived_uid for s in second.manifest.slices]


def pipeline(operation: Weighted, folder: Path, files: Sequence[SliceFile]) -> SlicePipeline:
    folder.mkdir(exist_ok=True)
    derivation = Derivation(
        provenance=operation.provenance, output=RunOptions().dicom_output(), time=datetime(2026, 1, 2)
    )
    names = {file.uid: f"{file.uid}.dcm" for file in files}
    return SlicePipeline(operation, derivation, folder, names, Journal(folder))


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("left", [[4], [0, 3, 8], [2, 3, 4, 5, 6, 7, 8], [8]])
def test_the_rest_of_a_series_gets_its_neighbours_too_and_each_file_is_read_once(
    left, batch_size, tmp_path, monkeypatch
):
    """As in a run that continues an interrupted one."""
    (series,) = discover(make_series(tmp_path / "in", slices=9, edit=move(from_index=5, by_mm=2.5))).series
    (whole,) = apply_operation(Weighted(2), tmp_path / "in", tmp_path / "whole").results
    read: list[Path] = []

    def reading(path: Path) -> CTSlice:
        read.append(path)
        return read_slice(path)

    monkeypatch.setattr(slice_pipeline, "read_slice", reading)
    files = [series.slices[index] for index in left]
    operation = Weighted(2, batch_size)
    assert list(pipeline(operation, tmp_path / "out", files).run(files, series.slices)) == [None] * len(files)
    assert operation.keys == [f"{file.uid}/0" for file in files]
    rest = stored_by_source(whole.folder)
    assert_same(stored_by_source(tmp_path / "out"), {file.uid: rest[file.uid] for file in files})
    stacks = [range(5), range(5, 9)]
    needed = {o for i in left for stack in stacks if i in stack for o in range(i - 2, i + 3) if o in stack}
    assert read == [series.slices[index].path for index in sorted(needed)]


def test_a_file_that_is_only_a_neighbour_and_cannot_be_read_is_no_failure(tmp_path):
    (series,) = discover(make_series(tmp_path / "in", slices=4)).series
    images = [read_slice(file.path) for file in series.slices]
    series.slices[1].path.write_bytes(series.slices[1].path.read_bytes()[:-500])
    files = [series.slices[2]]
    assert list(pipeline(Weighted(1), tmp_path / "out", files).run(files, series.slices)) == [None]
    result = expected([image.hu for image in images], "ABAA", 1)[2]
    assert_same(stored_by_source(tmp_path / "out"), {files[0].uid: images[2].to_stored(result).values})


def test_an_interrupted_run_and_its_rest_give_the_whole(tmp_path):
    (series,) = discover(make_series(tmp_path / "in", slices=9)).series
    (whole,) = apply_operation(Weighted(2), tmp_path / "in", tmp_path / "whole").results
    outcomes = pipeline(Weighted(2), tmp_path / "out", series.slices).run(series.slices, series.slices)
    assert next(outcomes) is None
    outcomes.close()
    done = {record.source_uid for record in Journal(tmp_path / "out").read()}
    left = [file for file in series.slices if file.uid not in done]
    assert 0 < len(left) < 9
    assert list(pipeline(Weighted(2, 3), tmp_path / "out", left).run(left, series.slices)) == [None] * len(left)
    assert_same(stored_by_source(tmp_path / "out"), stored_by_source(whole.folder))


@pytest.mark.parametrize("context", [0, 2])
def test_few_slices_are_in_memory_however_long_the_series_is(context, tmp_path, monkeypatch):
    (series,) = discover(make_series(tmp_path / "in", slices=50)).series
    images: list[weakref.ref[CTSlice]] = []
    most = 0

    def reading(path: Path) -> CTSlice:
        nonlocal most
        image = read_slice(path)
        images.append(weakref.ref(image))
        most = max(most, sum(reference() is not None for reference in images))
        return image

    monkeypatch.setattr(slice_pipeline, "read_slice", reading)
    files = series.slices
    assert list(pipeline(Weighted(context), tmp_path / "out", files).run(files, files)) == [None] * 50
    assert most <= 10 + 2 * context


@dataclass(frozen=True)
class Interrupted(Weighted):
    """Is interrupted when it gets the sixth slice."""

    def __call__(self, hu: NDArray[np.float32], slices: Sequence[SliceInfo]) -> NDArray[np.float32]:
        if len(self.keys) + len(slices) > 5:
            raise KeyboardInterrupt
        return super().__call__(hu, slices)


def test_a_run_that_continues_another_gives_the_pixels_of_an_undisturbed_one(tmp_path):
    source = make_series(tmp_path / "in", slices=9)
    (whole,) = apply_operation(Weighted(2), source, tmp_path / "whole").results
    with pytest.raises(KeyboardInterrupt):
        apply_operation(Interrupted(2), source, tmp_path / "out")
    (result,) = apply_operation(Weighted(2, 3), source, tmp_path / "out").results
    assert result.written == 4
    assert_same(stored_by_source(result.folder), stored_by_source(whole.folder))
    (result.folder / "0004.dcm").unlink()
    (again,) = apply_operation(Weighted(2), source, tmp_path / "out").results
    assert again.written == 1
    assert_same(stored_by_source(again.folder), stored_by_source(whole.folder))


#: Acquisition numbers of the frames in order of position, positions in mm, and which frames are neighbours.
ENHANCED: dict[str, tuple[list[int], list[float], str]] = {
    "undisturbed": ([1, 1, 1, 1], [0, 2.5, 5, 7.5], "AAAA"),
    "gap": ([1, 1, 1, 1], [0, 2.5, 5, 10], "AAAB"),
    "acquisition": ([1, 2, 1, 1], [0, 2.5, 5, 7.5], "ABAA"),
}
#: Frame at each position.
STORED_ORDER = [2, 0, 3, 1]


def enhanced_with_positions(folder: Path, name: str) -> Path:
    source = make_enhanced(folder)
    image = dcmread(source / "enhanced.dcm")
    acquisitions, positions, _ = ENHANCED[name]
    for frame, acquisition, position in zip(STORED_ORDER, acquisitions, positions, strict=True):
        groups = image.PerFrameFunctionalGroupsSequence[frame]
        groups.FrameContentSequence[0].FrameAcquisitionNumber = acquisition
        groups.PlanePositionSequence[0].ImagePositionPatient = [-10, -20, position]
    image.save_as(source / "enhanced.dcm")
    return source


@pytest.mark.parametrize("batch_size", [1, 3, 16])
@pytest.mark.parametrize("context", [1, 2])
@pytest.mark.parametrize("classic", [False, True])
@pytest.mark.parametrize("name", ENHANCED)
def test_frames_have_the_frames_beside_them_as_neighbours(name, classic, context, batch_size, tmp_path):
    source = enhanced_with_positions(tmp_path, name)
    options = RunOptions(classic=classic)
    (result,) = apply_operation(Weighted(context, batch_size), source, tmp_path / "out", options=options).results
    original = read_slice(source / "enhanced.dcm")
    hu = np.empty_like(original.hu)
    hu[STORED_ORDER] = expected([original.hu[frame] for frame in STORED_ORDER], ENHANCED[name][2], context)
    wanted = original.to_stored(hu).values
    images = [read_slice(result.folder / record.file).stored for record in result.manifest.slices]
    np.testing.assert_array_equal(np.stack(images) if classic else images[0], wanted)
    if classic:
        (result.folder / "0002.dcm").unlink()
        (again,) = apply_operation(Weighted(context), source, tmp_path / "out", options=options).results
        assert again.written == 1
        np.testing.assert_array_equal(read_slice(result.folder / "0002.dcm").stored, wanted[1])


def test_enhanced_objects_are_no_neighbours_of_other_files(tmp_path):
    source = enhanced_with_positions(tmp_path, "undisturbed")
    image = dcmread(source / "enhanced.dcm")
    (alone,) = apply_operation(Weighted(1), source, tmp_path / "alone").results
    wanted = {str(image.SOPInstanceUID): read_slice(alone.folder / "0001.dcm").stored}
    # Not elements of enhanced CT, and no reason to take it for a slice.
    image.ImageOrientationPatient, image.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    image.save_as(source / "enhanced.dcm")
    wanted[f"{image.SOPInstanceUID[:60]}.1"] = wanted[str(image.SOPInstanceUID)]
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{image.SOPInstanceUID[:60]}.1"
    image.ImagePositionPatient = [0, 0, 2.5]
    image.save_as(source / "second.dcm")
    classic = dcmread(tmp_path / "classic" / "IMG001")
    classic.ImagePositionPatient = [0, 0, 5]
    classic.save_as(source / "classic.dcm")
    slice_alone = read_slice(source / "classic.dcm")
    wanted[str(classic.SOPInstanceUID)] = slice_alone.to_stored(weighted([slice_alone.hu] * 3)).values
    (result,) = apply_operation(Weighted(1, 3), source, tmp_path / "out").results
    assert [record.source_uid for record in result.manifest.slices] == list(wanted)
    for record in result.manifest.slices:
        np.testing.assert_array_equal(read_slice(result.folder / record.file).stored, wanted[record.source_uid])


@pytest.mark.parametrize("planes", [1, 2, 5])
@pytest.mark.parametrize(("batch_size", "threads"), [(1, 3), (3, 1)])
@pytest.mark.parametrize("context", [0, 1, 2])
def test_planes_of_a_volume_have_neighbours_in_their_time_point(context, batch_size, threads, planes, tmp_path):
    values = np.random.default_rng(0).integers(-1000, 1000, (7, 6, planes, 3)).astype(np.float32)
    nibabel.Nifti1Image(values, np.diag([0.7, 0.8, 2.5, 1])).to_filename(tmp_path / "a.nii")
    operation = Weighted(context, batch_size, threads)
    apply_operation(operation, tmp_path / "a.nii", tmp_path / "out")
    assert sorted(operation.keys, key=int) == [str(index) for index in range(3 * planes)]
    stacks = "A" * planes + "B" * planes + "C" * planes
    result = read_volume(tmp_path / "out" / "a.nii").hu
    np.testing.assert_array_equal(result, expected(read_volume(tmp_path / "a.nii").hu, stacks, context))


def test_the_operation_decides_and_not_its_batch(tmp_path):
    """Other batches and threads, the same UIDs: they follow from the pixels."""
    source = make_series(tmp_path / "in", slices=7)
    uids = []
    for batch_size, threads in ((1, 1), (2, 1), (16, 1), (2, 3)):
        operation = replace(Weighted(1), batch_size=batch_size, parallel_calls=threads)
        (result,) = apply_operation(operation, source, tmp_path / f"{batch_size}-{threads}").results
        uids.append([record.derived_uid for record in result.manifest.slices])
    assert uids[0] == uids[1] == uids[2] == uids[3]
