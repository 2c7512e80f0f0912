"""One UID, one image: objects with one SOP Instance UID have the same pixels, whatever was run, and how often.

`Archive` stands for a PACS: it keeps the first object of each SOP Instance UID and refuses another one with its UID.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread

from ctdenoise.errors import InputError
from ctdenoise.inference import Denoiser, RunOptions, SeriesResult, apply_operation, denoise
from ctdenoise.inference.dicom_run import assign_names
from ctdenoise.inference.dose_reduction import DoseReductionRequest
from ctdenoise.inference.engines import ENGINES
from ctdenoise.inference.journal import Journal
from ctdenoise.inference.manifest import MANIFEST, SliceRecord, read_manifest
from ctdenoise.io.dicom import discover
from ctdenoise.noise.lowdose import KERNELS
from tests.conftest import Halve, Messages, make_series, real_series, run_series

CPU = torch.device("cpu")
SLICES = 6


class Archive:
    """The objects of all runs, by SOP Instance UID."""

    def __init__(self) -> None:
        self.content: dict[str, str] = {}
        self.stored = 0

    def store(self, folder: Path) -> None:
        """Add all DICOM files below a folder of results, and check each series in it."""
        for manifest in sorted(folder.rglob(MANIFEST)):
            check_series(manifest.parent)
        for path in sorted(folder.rglob("*.dcm")):
            image = dcmread(path)
            uid, content = str(image.SOPInstanceUID), content_hash(image)
            assert self.content.setdefault(uid, content) == content, f"{path}: another image under the same UID"
            self.stored += 1


def content_hash(image: Dataset) -> str:
    """Hash pixels, rescale and matrix."""
    digest = hashlib.sha256(repr((image.Rows, image.Columns, image.get("NumberOfFrames"))).encode())
    digest.update(np.ascontiguousarray(image.pixel_array).tobytes())
    shared = image.get("SharedFunctionalGroupsSequence")
    digest.update(repr((image.get("RescaleSlope"), image.get("RescaleIntercept"), shared)).encode())
    return digest.hexdigest()


def check_series(folder: Path) -> None:
    """Check that a folder holds one series, one file for each source image, and what its manifest says."""
    manifest = read_manifest(folder / MANIFEST)
    assert manifest is not None
    images = {path.name: dcmread(path, stop_before_pixels=True) for path in folder.glob("*.dcm")}
    assert {image.SeriesInstanceUID for image in images.values()} <= {manifest.derived.series_uid}
    sources = [source_of(image) for image in images.values()]
    assert len(set(sources)) == len(sources), f"{folder}: two files for one source image"
    if manifest.status != "running":
        assert {r.file: r.derived_uid for r in manifest.slices} == {n: i.SOPInstanceUID for n, i in images.items()}
    if manifest.strength is not None:
        said = f"strength {manifest.strength:g}, by ctdenoise"
        assert all(said in description_of(image) for image in images.values())


def source_of(image: Dataset) -> tuple[str, int]:
    """Return the source image, and its frame or 0."""
    (source,) = image.get("SourceImageSequence") or source_images_of_frame(image)
    return str(source.ReferencedSOPInstanceUID), int(source.get("ReferencedFrameNumber", 0) or 0)


def source_images_of_frame(image: Dataset) -> list[Dataset]:
    for groups in (*image.SharedFunctionalGroupsSequence, *image.PerFrameFunctionalGroupsSequence):
        if "DerivationImageSequence" in groups:
            return list(groups.DerivationImageSequence[0].SourceImageSequence[:1])
    raise AssertionError("no source image")


def description_of(image: Dataset) -> str:
    if "DerivationDescription" in image:
        return str(image.DerivationDescription)
    for groups in (*image.SharedFunctionalGroupsSequence, *image.PerFrameFunctionalGroupsSequence):
        if "DerivationImageSequence" in groups:
            return str(groups.DerivationImageSequence[0].DerivationDescription)
    raise AssertionError("no description")


@pytest.fixture(scope="module")
def archive() -> Archive:
    return Archive()


def quiet_then_noisy(image: Dataset, index: int) -> None:
    """Give the first half of a series little noise and the second half much, so that parts differ in strength."""
    rng = np.random.default_rng(index)
    hu = image.pixel_array.astype(np.float64) - 1024
    tissue = np.where(hu > -500, 40.0, -1000.0)
    noisy = tissue + rng.normal(0, 4 if index < SLICES // 2 else 90, hu.shape)
    image.PixelData = np.clip(np.rint(noisy + 1024), 0, 4095).astype("<u2").tobytes()


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return make_series(tmp_path_factory.mktemp("source") / "in", slices=SLICES, size=(192, 192), edit=quiet_then_noisy)


def part_of(source: Path, slices: range | list[int], folder: Path) -> Path:
    """Copy slices, counted along the normal from 0, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = discover(source).series[0].slices
    for index in slices:
        shutil.copy(files[index].path, folder)
    return folder


def lite(**options: object) -> Denoiser:
    return Denoiser.from_pretrained("ct-lowdose-lite", device="cpu", **{"engine": "eager", **options})


QUIET, NOISY = range(SLICES // 2), range(SLICES // 2, SLICES)


@pytest.mark.parametrize("strength", [None, 0.5], ids=["auto", "0.5"])
@pytest.mark.parametrize("full_field", [False, True])
def test_subsets_of_slices_strengths_and_fields(strength, full_field, source, archive, tmp_path):
    denoiser = lite(full_field=full_field)
    subsets = [[i] for i in range(SLICES)] + [list(QUIET), list(NOISY), [0, 2, 5], list(range(SLICES))]
    for number, subset in enumerate(subsets):
        part = part_of(source, subset, tmp_path / f"part{number}")
        run_series(denoiser, part, tmp_path / f"out{number}", strength=strength)
        run_series(denoiser, part, tmp_path / "grown", strength=strength)
    archive.store(tmp_path)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "compile")) for n in ENGINES])
def test_engines(name, source, archive, tmp_path):
    denoiser = lite()
    if reason := ENGINES[name].unavailable(denoiser.network, CPU):
        pytest.skip(reason)
    result = run_series(lite(engine=name), source, tmp_path, strength=0.8)
    assert result.manifest.engine == name
    archive.store(tmp_path)
    eager = run_series(denoiser, source, tmp_path, strength=0.8)
    archive.store(tmp_path)
    assert (eager.manifest.derived.series_uid == result.manifest.derived.series_uid) == (name == "eager")


def test_models_batch_sizes_and_networks_of_ones_own(source, archive, tmp_path):
    denoisers = [
        lite(batch_size=1),
        lite(batch_size=4),
        Denoiser.from_pretrained("ct-lowdose", device="cpu", engine="eager"),
        Denoiser(torch.nn.Identity()),
        Denoiser(Halve()),
        Denoiser(Halve(), batch_size=3),
    ]
    results = [run_series(denoiser, source, tmp_path / str(i)) for i, denoiser in enumerate(denoisers)]
    archive.store(tmp_path)
    series = [result.manifest.derived.series_uid for result in results]
    assert len(set(series)) == len(denoisers)  # other sizes of batches are summed in another order


def test_models_that_differ_in_code_alone_are_told_apart(source, archive, tmp_path):
    """A network without parameters has no weights to hash; its results differ all the same."""

    class Scale(torch.nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image * self.factor

    for factor in (0.5, 0.25):
        run_series(Denoiser(Scale(factor)), source, tmp_path / str(factor))
    archive.store(tmp_path)


def test_doses_seeds_and_kernels(source, archive, tmp_path):
    whole, part = part_of(source, [0, 5], tmp_path / "whole"), part_of(source, [5], tmp_path / "part")
    one = {"dose": 0.5, "photons": 1e5, "seed": 0, "kernel": KERNELS["hann"]}
    others = [{"dose": 0.25}, {"seed": 1}, {"photons": None}, {"photons": 1e6}, {"electronic": 0.0}]
    asked = [one, *({**one, **other} for other in [*others, {"kernel": KERNELS["sharp"]}])]
    series = set()
    for number, values in enumerate(asked):
        request = DoseReductionRequest(**values)
        for folder in (whole, part):
            (result,) = apply_operation(request, folder, tmp_path / f"{folder.name}-{number}").results
            series.add((number, result.manifest.derived.series_uid))
    archive.store(tmp_path)
    assert len({uid for _, uid in series}) == len(series)


@pytest.mark.parametrize(
    "options",
    [
        {"transfer_syntax": "rle"},
        {"transfer_syntax": "jpeg-2000"},
        {"drop_private": True},
        {"random_uids": True},
    ],
    ids=str,
)
def test_output_options(options, source, archive, tmp_path):
    run_series(lite(), source, tmp_path, strength=0.8)
    run_series(lite(), source, tmp_path, strength=0.8, **options)
    archive.store(tmp_path)
    assert len(discover(tmp_path).series) == 2


class InterruptAt(Halve):
    """Halves, but stops once at a call."""

    def __init__(self, call: int) -> None:
        super().__init__()
        self.left = call

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().forward(image)


def interrupted(source: Path, output: Path, *, at: int = 4, **options: object) -> Denoiser:
    """Leave an interrupted run, and return the denoiser to continue it with."""
    denoiser = Denoiser(InterruptAt(at))
    with pytest.raises(KeyboardInterrupt):
        run_series(denoiser, source, output, **options)
    return denoiser


@pytest.mark.parametrize("at", [1, 2, SLICES])
@pytest.mark.parametrize("strength", [None, 0.5])
def test_interrupted_series(at, strength, source, archive, tmp_path):
    denoiser = interrupted(source, tmp_path / "out", at=at, strength=strength)
    archive.store(tmp_path)
    result = run_series(denoiser, source, tmp_path / "out", strength=strength)
    archive.store(tmp_path)
    assert len(result.manifest.slices) == SLICES
    whole = run_series(denoiser, source, tmp_path / "whole", strength=strength)
    archive.store(tmp_path)
    assert [r.derived_uid for r in whole.manifest.slices] == [r.derived_uid for r in result.manifest.slices]


@pytest.mark.parametrize("name", ["dcmqi_BSD/*multiframe__mf.dcm", "dicomParser_MIT/*multi-frame__CT0012.explicit*"])
def test_enhanced_and_classic(name, data, archive, tmp_path):
    (enhanced,) = (data / "dicom-flavours").glob(name)
    for strength in (None, 1.0, 0.5):
        for classic in (False, True):
            run_series(Denoiser(Halve()), enhanced, tmp_path, strength=strength, classic=classic)
    archive.store(tmp_path)


#: Small series that every run of the tests takes.
QUICK = ("lidc-0003", "ge-hispeed-tilt", "absent")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in QUICK)) for n in real_series()])
def test_parts_of_real_series(name, data, archive, tmp_path):
    whole = data / "ct" / name
    count = len(discover(whole).series[0].slices)
    parts = [range(0, count, 4), range(count // 2), range(count // 2, count), range(count)]
    for number, part in enumerate(parts):
        folder = part_of(whole, part, tmp_path / f"part{number}")
        run_series(Denoiser(Halve()), folder, tmp_path / f"out{number}", strength=None)
        run_series(Denoiser(Halve()), folder, tmp_path / "grown", strength=None)
    archive.store(tmp_path)


def test_the_archive_would_notice(source, tmp_path):
    """The check itself fails where two images share a UID."""
    result = run_series(Denoiser(Halve()), source, tmp_path / "out")
    archive = Archive()
    archive.store(tmp_path)
    image = dcmread(result.folder / "0001.dcm")
    image.PixelData = bytes(len(image.PixelData))
    image.save_as(result.folder / "0001.dcm")
    with pytest.raises(AssertionError, match="another image under the same UID"):
        archive.store(tmp_path)


# Automatic strength and series that change between runs


def automatic(source: Path, output: Path, **options: object) -> SeriesResult:
    return run_series(Denoiser(Halve()), source, output, strength=None, **options)


def test_parts_of_another_automatic_strength_are_other_series(source, tmp_path):
    results = [
        automatic(part_of(source, part, tmp_path / f"part{number}"), tmp_path / f"out{number}")
        for number, part in enumerate((QUIET, NOISY, range(SLICES)))
    ]
    strengths = [result.manifest.strength for result in results]
    assert strengths[0] != strengths[1]
    by_strength = {(r.manifest.strength, r.manifest.derived.series_uid) for r in results}
    assert len({uid for _, uid in by_strength}) == len(set(strengths))


def test_a_series_that_grew_keeps_its_strength_and_says_so(source, tmp_path):
    part = part_of(source, QUIET, tmp_path / "in")
    first = automatic(part, tmp_path / "out")
    part_of(source, range(SLICES), part)
    messages = Messages()
    grown = automatic(part, tmp_path / "out", progress=messages)
    fresh = automatic(part, tmp_path / "fresh")
    assert fresh.manifest.strength != first.manifest.strength
    assert grown.manifest.strength == first.manifest.strength
    assert grown.manifest.derived == first.manifest.derived
    assert (grown.written, len(grown.manifest.slices), grown.manifest.status) == (SLICES // 2, SLICES, "complete")
    (text,) = (text for text in messages.texts if "added" in text)
    assert f"{SLICES // 2} slices" in text
    assert f"strength {first.manifest.strength:g}" in text
    assert "--overwrite" in text
    assert any(warning in text for warning in grown.manifest.warnings)
    check_series(grown.folder)


def test_overwrite_gives_a_grown_series_one_strength_and_leaves_no_old_file(source, tmp_path):
    part = part_of(source, QUIET, tmp_path / "in")
    first = automatic(part, tmp_path / "out")
    part_of(source, range(SLICES), part)
    automatic(part, tmp_path / "out")
    anew = automatic(part, tmp_path / "out", overwrite=True)
    assert anew.written == SLICES
    assert anew.manifest.strength != first.manifest.strength
    assert anew.manifest.derived != first.manifest.derived
    assert anew.folder == first.folder
    assert {p.name for p in anew.folder.iterdir()} == {MANIFEST, *(r.file for r in anew.manifest.slices)}
    check_series(anew.folder)


def test_overwrite_of_fewer_slices_leaves_no_old_file(source, tmp_path):
    automatic(source, tmp_path / "out")
    few = part_of(source, QUIET, tmp_path / "in")
    anew = automatic(few, tmp_path / "out", overwrite=True)
    assert len(list(anew.folder.glob("*.dcm"))) == SLICES // 2
    check_series(anew.folder)


@pytest.mark.parametrize("finished", [True, False])
def test_a_series_that_shrank_keeps_its_results_and_says_so(finished, source, tmp_path):
    if finished:
        denoiser = Denoiser(Halve())
        run_series(denoiser, source, tmp_path / "out")
    else:
        denoiser = interrupted(source, tmp_path / "out", at=SLICES)
    (folder,) = (p for p in (tmp_path / "out").iterdir() if p.is_dir())
    before = {path.name: path.read_bytes() for path in folder.glob("*.dcm")}
    few, messages = part_of(source, [0, 2], tmp_path / "in"), Messages()
    result = run_series(denoiser, few, tmp_path / "out", progress=messages)
    assert {path.name: path.read_bytes() for path in folder.glob("*.dcm")} == before
    assert (result.folder, result.written) == (folder, 0)
    assert any(f"{len(before) - 2} slices" in text and "not in this input" in text for text in messages.texts)
    check_series(folder)


def replace_pixels(path: Path, value: int = 1000) -> None:
    image = dcmread(path)
    image.PixelData = np.full(image.pixel_array.shape, value, "<u2").tobytes()
    image.save_as(path)


def test_a_source_with_other_pixels_under_the_same_uid_is_denoised_again(source, archive, tmp_path):
    part = part_of(source, range(SLICES), tmp_path / "in")
    first = run_series(Denoiser(Halve()), part, tmp_path / "out")
    archive.store(tmp_path / "out")
    changed = discover(part).series[0].slices[2]
    replace_pixels(changed.path)
    second = run_series(Denoiser(Halve()), part, tmp_path / "out")
    assert second.written == 1
    archive.store(tmp_path / "out")
    before, after = ({r.source_uid: r.derived_uid for r in result.manifest.slices} for result in (first, second))
    assert {uid for uid in before if before[uid] != after[uid]} == {changed.uid}


def test_a_slice_that_was_added_and_then_changed_has_one_file(source, archive, tmp_path):
    part = part_of(source, range(2, SLICES), tmp_path / "in")
    for added in ([], [1], [0]):
        part_of(source, added, part)
        run_series(Denoiser(Halve()), part, tmp_path / "out")
    replace_pixels(discover(part).series[0].slices[1].path)
    result = run_series(Denoiser(Halve()), part, tmp_path / "out")
    assert result.written == 1
    archive.store(tmp_path / "out")


def test_a_file_without_a_record_is_no_second_version_of_a_slice(source, archive, tmp_path):
    """A process that was killed between a file and its record, and a series that grew before it was continued."""
    part = part_of(source, range(1, SLICES), tmp_path / "in")
    result = run_series(Denoiser(Halve()), part, tmp_path / "out")
    Journal(result.folder).restart(result.manifest.slices[:-1])
    result.manifest.model_copy(update={"status": "running", "slices": []}).write(result.folder / MANIFEST)
    part_of(source, [0], part)
    continued = run_series(Denoiser(Halve()), part, tmp_path / "out")
    assert len(continued.manifest.slices) == SLICES
    archive.store(tmp_path / "out")


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("damage", [Path.unlink, cut_off])
def test_a_result_that_was_deleted_or_cut_off_is_made_again_as_it_was(damage, source, archive, tmp_path):
    first = automatic(source, tmp_path / "out")
    damage(first.folder / first.manifest.slices[1].file)
    second = automatic(source, tmp_path / "out")
    assert second.written == 1
    assert second.manifest.slices[1].derived_uid == first.manifest.slices[1].derived_uid
    archive.store(tmp_path)


# Numerical environment


def edit_environment(folder: Path, **values: str) -> None:
    document = json.loads((folder / MANIFEST).read_text())
    document["operation"]["parameters"]["environment"].update(values)
    (folder / MANIFEST).write_text(json.dumps(document))


@pytest.mark.parametrize("entry", [{"torch": "1.0.0"}, {"hardware": "riscv64"}, {"ctdenoise": "0.0"}], ids=str)
def test_a_run_begun_in_another_environment_is_not_continued(entry, source, tmp_path):
    denoiser = interrupted(source, tmp_path / "out")
    (folder,) = (p for p in (tmp_path / "out").iterdir() if p.is_dir())
    edit_environment(folder, **entry)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    ((name, value),) = entry.items()
    with pytest.raises(InputError, match=f"this series was begun with {name} {value}; found {name} ") as caught:
        run_series(denoiser, source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert "--overwrite" in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    anew = run_series(denoiser, source, tmp_path / "out", overwrite=True)
    assert anew.written == SLICES


def test_a_finished_run_of_another_environment_is_left_alone_and_not_extended(source, tmp_path):
    part = part_of(source, QUIET, tmp_path / "in")
    first = run_series(Denoiser(Halve()), part, tmp_path / "out")
    edit_environment(first.folder, torch="1.0.0")
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    assert run_series(Denoiser(Halve()), part, tmp_path / "out").written == 0
    part_of(source, NOISY, part)
    with pytest.raises(InputError, match="this series was begun with torch"):
        run_series(Denoiser(Halve()), part, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()} == before


def test_a_simulation_begun_in_another_environment_is_not_continued(source, tmp_path):
    request = DoseReductionRequest(dose=0.5, photons=1e5, kernel=KERNELS["hann"])
    (result,) = apply_operation(request, source, tmp_path).results
    (result.folder / "0001.dcm").unlink()
    edit_environment(result.folder, numpy="1.0")
    with pytest.raises(InputError, match=r"this series was begun with numpy 1\.0; found numpy"):
        apply_operation(request, source, tmp_path)


# What was asked for otherwise is not there already


@pytest.mark.parametrize(
    ("denoiser", "options"),
    [
        ({"full_field": True}, {}),
        ({"engine": "auto"}, {}),
        ({}, {"transfer_syntax": "rle"}),
        ({}, {"drop_private": True}),
        ({}, {"strength": 0.5}),
        ({}, {"random_uids": True}),
    ],
    ids=str,
)
def test_another_request_is_another_folder(denoiser, options, source, tmp_path):
    first = run_series(lite(), source, tmp_path)
    second = run_series(lite(**denoiser), source, tmp_path, **options)
    assert second.written == SLICES
    assert second.folder != first.folder
    assert run_series(lite(**denoiser), source, tmp_path, **options).written == 0
    assert run_series(lite(), source, tmp_path).written == 0


def test_whole_numbers_and_floats_are_the_same_request(source, tmp_path, halve):
    one, other = (run_series(halve, source, tmp_path, strength=strength) for strength in (1, 1.0))
    assert (other.folder, other.written) == (one.folder, 0)
    assert run_series(halve, source, tmp_path, strength=1.0, overwrite=True).manifest.derived == one.manifest.derived
    for number, values in enumerate(({"photons": 100000, "electronic": 10}, {"photons": 1e5, "electronic": 10.0})):
        request = DoseReductionRequest(dose=0.5, kernel=KERNELS["hann"], **values)
        (result,) = apply_operation(request, source, tmp_path / "simulated").results
        assert result.written == (0 if number else SLICES)


# Series Number


@pytest.mark.parametrize("number", [2**31 - 1, 2**31 - 1000, 0, -5, None])
def test_the_derived_series_number_is_a_legal_integer_string(number, tmp_path, halve):
    def edit(image: Dataset, _: int) -> None:
        image.SeriesNumber = number

    make_series(tmp_path / "in", slices=1, edit=edit)
    result = run_series(halve, tmp_path / "in", tmp_path / "out")
    derived = int(dcmread(result.folder / "0001.dcm").SeriesNumber)
    # IS (PS3.5 section 6.2).
    assert -(2**31) <= derived < 2**31
    assert derived != number


# File names


RECORDED = st.dictionaries(st.integers(0, 30).map(str), st.integers(1, 40), max_size=12)


@given(uids=st.lists(st.integers(0, 30).map(str), unique=True, max_size=25), numbers=RECORDED)
def test_names_are_unique_and_recorded_ones_stay(uids, numbers):
    if len(set(numbers.values())) < len(numbers):
        numbers = {uid: i for i, uid in enumerate(numbers, start=1)}
    kept = {
        uid: SliceRecord(
            file=f"{number:04d}.dcm",
            source_uid=uid,
            source_sha256="",
            derived_uid="",
            clipped=0,
            padding=0,
            seconds=0,
        )
        for uid, number in numbers.items()
    }
    names = assign_names(uids, kept)
    assert list(names) == uids
    assert all(names[uid] == kept[uid].file for uid in uids if uid in kept)
    others = [name for uid, name in names.items() if uid not in kept]
    assert len(set(others)) == len(others)
    assert not set(others) & {record.file for record in kept.values()}
    assert list(assign_names(uids, {}).values()) == [f"{i:04d}.dcm" for i in range(1, len(uids) + 1)]


def test_denoise_takes_the_name_of_a_model(source, tmp_path):
    options = RunOptions(strength=0.5)
    (result,) = denoise(source, tmp_path / "out", model="ct-lowdose-lite", options=options).results
    assert result.manifest.operation.parameters["model"]["name"] == "ct-lowdose-lite"
