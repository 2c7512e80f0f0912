from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import RLELossless, SecondaryCaptureImageStorage, generate_uid

from ctdenoise.errors import InputError
from ctdenoise.io.dicom import discover, read_slice
from ctdenoise.io.dicom.deidentify import Deidentification
from tests.conftest import Edit, make_series, run_series


def reasons(folder: Path) -> dict[str, tuple[str, bool]]:
    return {s.path.name: (s.reason, s.failed) for s in discover(folder).skipped}


def test_slices_are_ordered_along_the_normal_whatever_their_names(tmp_path):
    make_series(tmp_path, slices=5)
    (series,) = discover(tmp_path).series
    assert [s.position for s in series.slices] == [0, 2.5, 5, 7.5, 10]
    assert [s.path.name for s in series.slices] == ["IMG005", "IMG004", "IMG003", "IMG002", "IMG001"]
    assert (series.number, series.rows, series.columns) == (7, 40, 36)


@given(order=st.permutations(range(4)))
@settings(max_examples=10, deadline=None)
def test_order_does_not_depend_on_file_names(tmp_path_factory, order):
    folder = tmp_path_factory.mktemp("s")
    make_series(folder, slices=4, size=(4, 4))
    for index, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"x{order[index]}.{index}")
    positions = [s.position for s in discover(folder).series[0].slices]
    assert positions == sorted(positions)


def test_oblique_slices_are_ordered_along_their_own_normal(tmp_path):
    def tilt(image: Dataset, index: int) -> None:
        image.ImageOrientationPatient = ["1", "0", "0", "0", "0", "-1"]  # coronal: the normal is +y
        image.ImagePositionPatient = ["0", str(10 - index), "0"]

    make_series(tmp_path, slices=3, edit=tilt)
    assert [s.position for s in discover(tmp_path).series[0].slices] == [8, 9, 10]


def test_without_positions_instance_numbers_decide(tmp_path):
    def edit(image: Dataset, index: int) -> None:
        del image.ImagePositionPatient
        image.InstanceNumber = 10 - index

    make_series(tmp_path, slices=3, edit=edit)
    (series,) = discover(tmp_path).series
    assert [s.path.name for s in series.slices] == ["IMG001", "IMG002", "IMG003"]


def test_mixed_series_in_nested_folders_are_told_apart(tmp_path):
    make_series(tmp_path / "a" / "deep")
    make_series(tmp_path / "a" / "deep" / "er", slices=2)
    assert sorted(len(s.slices) for s in discover(tmp_path).series) == [2, 3]


def test_everything_else_is_skipped_with_its_reason_and_damage_counts_as_failure(tmp_path):
    def odd(name: str, edit: Edit) -> None:
        make_series(tmp_path / "made", slices=1, edit=edit)
        (tmp_path / "made" / "IMG001").rename(tmp_path / name)

    make_series(tmp_path)
    odd("capture", lambda d, _: setattr(d, "SOPClassUID", SecondaryCaptureImageStorage))
    odd("localizer", lambda d, _: setattr(d, "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    odd("pixelless", lambda d, _: d.__delattr__("PixelData"))
    shutil.copy(tmp_path / "IMG001", tmp_path / "zcopy")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").touch()
    (tmp_path / "cut").write_bytes((tmp_path / "IMG001").read_bytes()[:300])
    found = reasons(tmp_path)
    assert found["capture"] == ("not a CT image but Secondary Capture Image Storage", False)
    assert found["localizer"] == ("a localizer, not a slice of the series", False)
    assert found["pixelless"] == ("PixelData (7FE0,0010): a CT image without pixel data; is the file cut off?", True)
    assert found["zcopy"] == ("same SOPInstanceUID as another file, and the same image", False)
    assert found["notes.txt"] == found["empty"] == ("not a DICOM file", False)
    assert found["cut"][1]
    assert len(discover(tmp_path).series) == 1


def test_one_uid_of_two_images_is_a_failure_and_of_two_encodings_is_not(tmp_path):
    make_series(tmp_path, slices=1)
    image = dcmread(tmp_path / "IMG001")
    pixels = image.pixel_array.copy()
    image.compress(RLELossless, generate_instance_uid=False)
    image.save_as(tmp_path / "other_encoding")
    image = dcmread(tmp_path / "IMG001")
    pixels[0, 0] += 1
    image.PixelData = pixels.tobytes()
    image.save_as(tmp_path / "other_pixel")
    image.PixelData = image.PixelData[:-100]
    image.save_as(tmp_path / "other_truncated")
    found = reasons(tmp_path)
    assert found["other_encoding"] == ("same SOPInstanceUID as another file, and the same image", False)
    assert found["other_pixel"] == (
        "SOPInstanceUID (0008,0018): expected another one for another image, found that of another file",
        True,
    )
    assert found["other_truncated"][1]


def test_series_without_their_uid_are_refused_by_tag(tmp_path):
    make_series(tmp_path, slices=1, edit=lambda d, _: setattr(d, "SeriesInstanceUID", ""))
    assert reasons(tmp_path)["IMG001"] == ("SeriesInstanceUID (0020,000E): expected a value, found none", True)


def test_a_single_file_is_a_series_of_one(tmp_path):
    make_series(tmp_path)
    assert len(discover(tmp_path / "IMG002").series[0].slices) == 1


def test_nothing_there_and_empty_folders_are_errors(tmp_path):
    with pytest.raises(InputError, match="found an empty folder"):
        discover(tmp_path)
    with pytest.raises(InputError, match="found nothing there"):
        discover(tmp_path / "absent")


def test_flavours_are_sorted_without_an_exception(data):
    found = discover(data / "dicom-flavours")
    files = sum(len(s.slices) for s in found.series) + len(found.skipped)
    assert files == sum(p.is_file() for p in (data / "dicom-flavours").rglob("*"))
    assert len({s.uid for s in found.series}) == len(found.series)


def test_uids_do_not_hide_in_several_series(tmp_path):
    uid = generate_uid()
    make_series(tmp_path, slices=3, edit=lambda d, _: setattr(d, "SOPInstanceUID", uid))
    found = discover(tmp_path)
    assert len(found.series[0].slices) == 1
    assert len(found.skipped) == 2


def test_numbers_that_are_none_are_damage(tmp_path):
    make_series(tmp_path)
    path = tmp_path / "IMG001"
    path.write_bytes(path.read_bytes().replace(b"IS\x02\x003 ", b"IS\x02\x00x "))
    (skipped,) = discover(tmp_path).skipped
    assert skipped.failed
    assert skipped.reason.startswith("damaged DICOM")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    plan=st.lists(st.tuples(st.integers(0, 3), st.integers(-50, 50)), min_size=1, max_size=12), seed=st.integers(0, 99)
)
def test_series_are_told_apart_and_ordered_whatever_lies_among_one_another(tmp_path_factory, plan, seed):
    """Slices of up to four series, at any positions, duplicates among them, under shuffled names in one folder."""
    folder = tmp_path_factory.mktemp("mixed")
    make_series(folder / "template", slices=1)
    template = dcmread(folder / "template" / "IMG001")
    names = list(range(len(plan)))
    random.Random(seed).shuffle(names)
    (folder / "in").mkdir()
    for (series, position), name in zip(plan, names, strict=True):
        template.SeriesInstanceUID = f"1.2.{series + 1}"
        template.SOPInstanceUID = template.file_meta.MediaStorageSOPInstanceUID = f"1.2.{series + 1}.{position + 51}"
        template.ImagePositionPatient = [0, 0, position]
        template.save_as(folder / "in" / f"{name:03d}")
    found = discover(folder / "in")
    expected = {series: sorted({p for s, p in plan if s == series}) for series in {s for s, _ in plan}}
    assert {s.uid: [f.position for f in s.slices] for s in found.series} == {
        f"1.2.{series + 1}": positions for series, positions in expected.items()
    }
    assert len(found.skipped) == len(plan) - sum(map(len, expected.values()))
    assert all("same SOPInstanceUID" in s.reason for s in found.skipped)


def test_a_dicomdir_stands_for_its_folder_and_link_loops_end(tmp_path, identity):
    make_series(tmp_path / "in" / "DICOM", slices=2)
    (tmp_path / "in" / "DICOMDIR").write_bytes(b"")
    (tmp_path / "in" / "DICOM" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "DICOM" / "self").symlink_to("self")
    found = discover(tmp_path / "in" / "DICOMDIR")
    assert [len(series.slices) for series in found.series] == [2]
    assert {s.name: s.reason for s in found.skipped} == {
        "DICOM/self": "a symbolic link to nothing",
        "DICOMDIR": "not a DICOM file",
    }
    with pytest.raises(InputError, match="must not be inside the input"):
        run_series(identity, tmp_path / "in" / "DICOMDIR", tmp_path / "in" / "out")


def test_no_preamble_odd_names_and_long_paths_are_read(tmp_path):
    deep = tmp_path.joinpath(*["Überlänge-日本語-" + "x" * 40] * 6)
    make_series(deep, slices=1)
    content = (deep / "IMG001").read_bytes()
    (deep / "IMG001").rename(deep / "übersicht.jpg")
    implicit = dcmread(deep / "übersicht.jpg")
    del implicit.file_meta, implicit.preamble
    implicit.SOPInstanceUID = "1.2.3"
    implicit.save_as(deep / "headless", implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert (deep / "headless").read_bytes()[128:132] != b"DICM"
    (series,) = discover(tmp_path).series
    assert {f.path.name for f in series.slices} == {"übersicht.jpg", "headless"}
    one, other = (read_slice(f.path) for f in series.slices)
    assert (one.stored == other.stored).all()
    assert content[128:132] == b"DICM"


def test_links_to_folders_and_files_are_followed_and_each_file_comes_once(tmp_path):
    make_series(tmp_path / "elsewhere" / "a", slices=2)
    make_series(tmp_path / "elsewhere" / "b", slices=1)
    root = tmp_path / "in"
    make_series(root / "own", slices=1)
    (root / "one").symlink_to(tmp_path / "elsewhere")
    (root / "two").symlink_to(tmp_path / "elsewhere" / "a")
    (root / "file").symlink_to(tmp_path / "elsewhere" / "b" / "IMG001")
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path)
    found = discover(root)
    names = sorted(file.name for series in found.series for file in series.slices)
    assert names == ["file", "one/a/IMG001", "one/a/IMG002", "own/IMG001"]
    assert found.skipped == ()


def test_manifests_reports_and_hidden_files_are_not_worth_a_line_but_hidden_images_are_images(tmp_path):
    make_series(tmp_path, slices=2)
    (tmp_path / "IMG001").rename(tmp_path / ".IMG001")
    for name in ("manifest.json", "ct.nii.gz.manifest.json", "report.html", "ct.nii.gz.report.html", ".DS_Store"):
        (tmp_path / name).write_text("{}")
    (tmp_path / ".partial-0123-0001.dcm").write_bytes((tmp_path / "IMG002").read_bytes())
    (tmp_path / "other.json").write_text("{}")
    found = discover(tmp_path)
    assert [s.name for s in found.skipped] == ["other.json"]
    assert {file.name for file in found.series[0].slices} == {".IMG001", "IMG002"}


def test_pipes_are_skipped_without_waiting_for_them(tmp_path):
    make_series(tmp_path, slices=1)
    os.mkfifo(tmp_path / "pipe")
    assert reasons(tmp_path) == {"pipe": ("a device, pipe or socket", False)}


def test_patients_are_told_apart_by_id_issuer_and_else_by_study(tmp_path):
    people = [("7", ""), ("7", "A"), ("8", ""), ("", ""), ("", "")]
    for number, (identifier, issuer) in enumerate(people):

        def edit(image: Dataset, _: int, identifier: str = identifier, issuer: str = issuer) -> None:
            image.PatientID, image.IssuerOfPatientID = identifier, issuer

        make_series(tmp_path / str(number), slices=1, edit=edit)
    assert len({series.patients for series in discover(tmp_path).series}) == len(people)
    make_series(tmp_path / "again", slices=1, edit=lambda d, _: setattr(d, "PatientID", " 7"))
    assert len({series.patients for series in discover(tmp_path).series}) == len(people)


def equipment(manufacturer: str, description: str) -> Sequence:
    item = Dataset()
    item.Manufacturer, item.ContributionDescription = manufacturer, description
    return Sequence([item])


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, None),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "HELIX"]}, None),
        ({"SeriesDescription": "Thorax 1.0 B31f Iris Mipson"}, None),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}, "ImageType (0008,0008) is DERIVED"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 MIP"]}, "ImageType (0008,0008) has MIP"),
        ({"ImageType": ["DERIVED", "PRIMARY", "MPR"]}, "ImageType (0008,0008) has MPR"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MINIP"]}, "ImageType (0008,0008) has MINIP"),
        ({"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"]}, "ImageType (0008,0008) has REFORMATTED"),
        ({"SeriesDescription": "DOE thorax MIP_8mm"}, "SeriesDescription (0008,103E) has MIP"),
        ({"ConvolutionKernel": ["I31f", "3"]}, "ConvolutionKernel (0018,1210) is one of iterative reconstruction"),
        ({"SeriesDescription": "DOE Abdomen iDose (4)"}, "SeriesDescription (0008,103E) has IDOSE: iterative"),
        ({"SeriesDescription": "DOE DLIR-H"}, "SeriesDescription (0008,103E) has DLIR: a learned reconstruction"),
        ({"ReconstructionAlgorithm": "ITERATIVE"}, "ReconstructionAlgorithm (0018,9315) is ITERATIVE"),
        ({"ContributingEquipmentSequence": equipment("DOE", "Denoised")}, None),
        (
            {"ContributingEquipmentSequence": equipment("ctdenoise", "Denoised slice by slice")},
            "ContributingEquipmentSequence (0018,A001): the images were denoised by ctdenoise already",
        ),
        (
            {"ContributingEquipmentSequence": equipment("ctdenoise", "Low dose simulated")},
            "ContributingEquipmentSequence (0018,A001): the images were made by ctdenoise",
        ),
    ],
    ids=str,
)
def test_series_that_a_model_may_not_fit_have_a_warning_without_typed_text(tmp_path, attributes, expected):
    def edit(image: Dataset, _: int) -> None:
        for keyword, value in attributes.items():
            setattr(image, keyword, value)

    make_series(tmp_path, edit=edit)
    warnings = discover(tmp_path).series[0].warnings
    if expected is None:
        assert warnings == ()
    else:
        assert len(warnings) == 1
        assert warnings[0].startswith(expected)
        assert "DOE" not in warnings[0]


def test_what_ctdenoise_denoised_has_a_warning(tmp_path, identity):
    make_series(tmp_path / "in")
    result = run_series(identity, tmp_path / "in", tmp_path / "out")
    found = discover(result.folder)
    assert any("denoised by ctdenoise already" in warning for warning in found.series[0].warnings)
    assert found.skipped == ()


def test_discovery_imports_neither_torch_nor_monai():
    heavy = {"torch", "monai", "scipy", "dicomanonymizer"}
    code = f"import sys, ctdenoise.io.dicom; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_series_of_two_patients_has_a_warning_and_both(tmp_path):
    make_series(tmp_path, slices=2, edit=lambda d, index: setattr(d, "PatientID", f"P{index}"))
    (series,) = discover(tmp_path).series
    assert len(series.patients) == 2
    assert any("found 2" in warning for warning in series.warnings)
    with pytest.raises(InputError, match="found 2 patients"):
        Deidentification(patient_id="X").check_patients(series.patients)


def test_a_padded_series_number_is_the_number(tmp_path):
    make_series(tmp_path, slices=1, edit=lambda d, _: setattr(d, "SeriesNumber", "000004"))
    (series,) = discover(tmp_path).series
    assert str(series.number) == "4"
