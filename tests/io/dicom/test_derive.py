from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

import ctdenoise
from ctdenoise.errors import InputError
from ctdenoise.io.dicom import Derivation, derive_slice, read_slice, write_slice
from ctdenoise.io.dicom.deidentify import Deidentification
from ctdenoise.io.dicom.derivation import DicomOutput
from ctdenoise.io.dicom.pixels import StoredPixels
from ctdenoise.provenance import Provenance
from tests.conftest import Edit, make_series

PROVENANCE = Provenance(
    name="ct-lowdose",
    version="1.2.3",
    parameters={"model": "ab" * 32, "strength": 0.75, "environment": {"engine": "eager"}},
    label="denoised",
    description="Denoised slice by slice, model ct-lowdose, strength 0.75",
    series_number_offset=1000,
)
DERIVATION = Derivation(provenance=PROVENANCE, output=DicomOutput(), time=datetime(2026, 5, 6, 7, 8, 9))


def derive(folder: Path, edit: Edit | None = None) -> tuple[Dataset, Dataset]:
    """Derive from a made slice; return source and derived as read from disk."""
    make_series(folder, slices=1, edit=edit)
    source = read_slice(folder / "IMG001")
    pixels = StoredPixels(source.stored + 1, clipped=0)
    write_slice(derive_slice(source, pixels, DERIVATION), folder / "derived.dcm")
    return dcmread(folder / "IMG001"), dcmread(folder / "derived.dcm")


def test_identity_is_new_and_context_is_the_sources(tmp_path):
    source, derived = derive(tmp_path)
    assert derived.SOPInstanceUID == derived.file_meta.MediaStorageSOPInstanceUID != source.SOPInstanceUID
    assert derived.SeriesInstanceUID not in (source.SeriesInstanceUID, derived.SOPInstanceUID)
    for uid in (derived.SOPInstanceUID, derived.SeriesInstanceUID):
        assert uid.is_valid
        assert len(uid) <= 64
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName", "SOPClassUID"):
        assert derived[keyword] == source[keyword]
    assert derived.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def instance_uid(derivation: Derivation, source_uid: str = "1.2.3", *, add: int = 0, slope: float = 1) -> str:
    pixels = StoredPixels(np.arange(12, dtype=np.int16).reshape(3, 4) + np.int16(add), clipped=0)
    return derivation.instance_uid(source_uid, pixels, np.array([slope, -1024]))


@pytest.mark.parametrize(
    "parameters", [{"strength": 0.5}, {"model": "cd" * 32}, {"environment": {"engine": "openvino"}}, {"seed": 1}]
)
def test_uids_follow_from_every_parameter_of_the_operation(parameters):
    changed = replace(PROVENANCE, parameters={**PROVENANCE.parameters, **parameters})
    other = replace(DERIVATION, provenance=changed)
    assert other.series_uid("1.2.3") != DERIVATION.series_uid("1.2.3")
    assert instance_uid(other) != instance_uid(DERIVATION)


@pytest.mark.parametrize(
    "options",
    [
        {"transfer_syntax": "rle"},
        {"classic": True},
        {"drop_private": True},
        {"deidentification": Deidentification()},
        {"deidentification": Deidentification(patient_id="7")},
        {"salt": "0"},
    ],
)
def test_uids_follow_from_the_output_options(options):
    other = replace(DERIVATION, output=DicomOutput(**options))
    assert other.series_uid("1.2.3") != DERIVATION.series_uid("1.2.3")
    assert instance_uid(other) != instance_uid(DERIVATION)


def test_uids_do_not_depend_on_time_and_wording():
    reworded = replace(PROVENANCE, label="cleaned", description="Cleaned", series_number_offset=5)
    other = replace(DERIVATION, provenance=reworded, time=datetime(2027, 1, 1))
    assert other.series_uid("1.2.3") == DERIVATION.series_uid("1.2.3")
    assert instance_uid(other) == instance_uid(DERIVATION)


def test_the_instance_uid_follows_from_source_pixels_and_rescale():
    uids = {
        instance_uid(DERIVATION),
        instance_uid(DERIVATION, "1.2.4"),
        instance_uid(DERIVATION, add=1),
        instance_uid(DERIVATION, slope=2),
    }
    assert len(uids) == 4
    assert instance_uid(DERIVATION) in uids


def test_history_is_told(tmp_path):
    source, derived = derive(tmp_path)
    assert list(derived.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    for text in ("ct-lowdose", ctdenoise.__version__, "strength 0.75", "not for diagnostic use"):
        assert text in derived.DerivationDescription
    (reference,) = derived.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert reference.ReferencedSOPClassUID == source.SOPClassUID
    (purpose,) = reference.PurposeOfReferenceCodeSequence
    assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("121322", "DCM")
    assert purpose.CodeMeaning == "Source image for image processing operation"
    (equipment,) = derived.ContributingEquipmentSequence
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert (equipment.Manufacturer, equipment.ManufacturerModelName) == ("ctdenoise", "ct-lowdose")
    assert "not for diagnostic use" in derived.ImageComments


def test_series_is_recognisable(tmp_path):
    _, derived = derive(tmp_path)
    assert derived.SeriesNumber == 1007
    assert derived.SeriesDescription == "Water disc - denoised, not for diagnostic use"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", "denoised, not for diagnostic use"),
        (
            "Recon 2:  C - 0.25 of the dose simulated, not for diagnostic use",
            "Recon 2: - 0.25 of the dose - denoised, not for diagnostic use",
        ),
        ("0.5 of it, not for diagnostic use", "0.5 of it - denoised, not for diagnostic use"),
        (
            "Recon 2:  CT CHEST R/O PE - denoised 0.5, not for diagnostic use",
            "Recon 2:  CT C - denoised 0.5 - denoised, not for diagnostic use",
        ),
    ],
)
def test_a_second_operation_stands_behind_the_first(tmp_path, source, expected):
    _, derived = derive(tmp_path, lambda image, _: setattr(image, "SeriesDescription", source))
    assert derived.SeriesDescription == expected
    assert len(expected) <= 64


def test_long_descriptions_stay_within_their_value_representation(tmp_path):
    def edit(image: Dataset, _: int) -> None:
        image.SeriesDescription = "A" * 64
        image.DerivationDescription = "B" * 1000
        image.ImageComments = "seen before"

    _, derived = derive(tmp_path, edit)
    assert len(derived.SeriesDescription) == 64
    assert derived.SeriesDescription.endswith("denoised, not for diagnostic use")
    assert len(derived.DerivationDescription) == 1024
    assert derived.DerivationDescription.endswith("not for diagnostic use")
    assert derived.ImageComments.endswith("seen before")


def test_everything_else_is_kept(tmp_path):
    def edit(image: Dataset, _: int) -> None:
        block = image.private_block(0x0099, "ACME", create=True)
        block.add_new(1, "LO", "private")
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "HELIX"]
        image.ContributingEquipmentSequence = Sequence([Dataset()])
        image.ContributingEquipmentSequence[0].Manufacturer = "earlier"

    source, derived = derive(tmp_path, edit)
    identity = {"SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription"}
    created = {f"{what}{when}" for what in ("InstanceCreation", "Series", "Content") for when in ("Date", "Time")}
    history = {"ImageType", "DerivationDescription", "SourceImageSequence", "ContributingEquipmentSequence"}
    allowed = identity | created | history | {"ImageComments", "PixelData"}
    for element in source:
        if element.keyword not in allowed:
            assert derived[element.tag] == element, element
    assert {e.keyword for e in derived if e.tag not in source} <= allowed
    assert list(derived.ImageType) == ["DERIVED", "SECONDARY", "AXIAL", "HELIX"]
    assert [e.Manufacturer for e in derived.ContributingEquipmentSequence] == ["earlier", "ctdenoise"]


def test_elements_of_odd_length_and_unknown_type_are_mended_and_all_others_written_as_they_were(tmp_path):
    make_series(tmp_path, slices=1)
    path = tmp_path / "IMG001"
    whole = path.read_bytes()
    name = b"\x10\x00\x10\x00PN"  # (0010,0010)
    before = whole.index(name)
    length = int.from_bytes(whole[before + 6 : before + 8], "little")
    odd = name + (5).to_bytes(2, "little") + b"A^B^C"
    # (0018,0050) Slice Thickness, DS, as a program wrote it that does not know its type.
    thick = whole.index(b"\x18\x00\x50\x00DS")
    size = int.from_bytes(whole[thick + 6 : thick + 8], "little")
    unknown = b"\x18\x00\x50\x00UN\0\0" + size.to_bytes(4, "little")
    path.write_bytes(whole[:before] + odd + whole[before + 8 + length : thick] + unknown + whole[thick + 8 :])
    source = read_slice(path)
    write_slice(derive_slice(source, StoredPixels(source.stored, 0), DERIVATION), tmp_path / "derived.dcm")
    written = (tmp_path / "derived.dcm").read_bytes()
    assert name + (6).to_bytes(2, "little") + b"A^B^C " in written
    assert b"\x18\x00\x50\x00DS" + whole[thick + 6 : thick + 8 + size] in written
    for keyword in ("StudyInstanceUID", "ImagePositionPatient", "PixelSpacing"):
        assert dcmread(tmp_path / "derived.dcm")[keyword].value == source.dataset[keyword].value


def test_pixel_extremes_are_recomputed_where_told_and_series_wide_ones_dropped(tmp_path):
    def edit(image: Dataset, _: int) -> None:
        image.SmallestImagePixelValue, image.LargestImagePixelValue = 0, 9
        image.SmallestPixelValueInSeries, image.LargestPixelValueInSeries = 0, 9

    source, derived = derive(tmp_path, edit)
    assert derived.SmallestImagePixelValue == source.pixel_array.min() + 1
    assert derived.LargestImagePixelValue == source.pixel_array.max() + 1
    assert "SmallestPixelValueInSeries" not in derived
    assert "LargestPixelValueInSeries" not in derived
    np.testing.assert_array_equal(derived.pixel_array, source.pixel_array + 1)


def test_an_image_type_that_is_missing_becomes_axial(tmp_path):
    _, derived = derive(tmp_path, lambda image, _: image.__delattr__("ImageType"))
    assert list(derived.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]


def test_the_source_in_memory_stays_as_it_is(tmp_path):
    make_series(tmp_path, slices=1)
    source = read_slice(tmp_path / "IMG001")
    before = source.dataset.to_json()
    derive_slice(source, StoredPixels(source.stored, 0), DERIVATION)
    assert source.dataset.to_json() == before


def test_a_write_that_fails_leaves_nothing_behind(tmp_path):
    make_series(tmp_path, slices=1)
    source = read_slice(tmp_path / "IMG001")
    derived = derive_slice(source, StoredPixels(source.stored, 0), DERIVATION)
    derived.add_new("Rows", "US", -1)  # cannot be encoded
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(Exception, match="Rows"):
        write_slice(derived, target / "a.dcm")
    assert list(target.iterdir()) == []


def test_series_and_content_are_dated_by_the_run_and_the_scan_by_the_scanner(tmp_path):
    def edit(image, _):
        for what in ("Study", "Series", "Acquisition", "Content"):
            setattr(image, f"{what}Date", "20200101")
            setattr(image, f"{what}Time", "111111")

    _, derived = derive(tmp_path, edit)
    assert (derived.SeriesDate, derived.SeriesTime, derived.ContentDate) == ("20260506", "070809", "20260506")
    assert (derived.StudyDate, derived.AcquisitionDate, derived.AcquisitionTime) == ("20200101", "20200101", "111111")


def test_overlays_of_their_own_stay_and_those_in_pixel_bits_go(tmp_path):
    def edit(image, _):
        for group, position in ((0x6000, 0), (0x6002, 12)):
            image.add_new((group, 0x0010), "US", image.Rows)
            image.add_new((group, 0x0102), "US", position)
        image.add_new((0x6000, 0x3000), "OW", b"\x01\x02" * 90)

    _, derived = derive(tmp_path, edit)
    assert derived[0x6000, 0x3000].value == b"\x01\x02" * 90
    assert (0x6002, 0x0102) not in derived
    assert (0x6002, 0x0010) not in derived


def test_words_of_big_endian_sources_are_turned_round(tmp_path):
    make_series(tmp_path, slices=1)
    image = dcmread(tmp_path / "IMG001")
    image.add_new((0x6000, 0x3000), "OW", b"\x12\x34\x56\x78")
    image.PixelData = image.pixel_array.byteswap().tobytes()
    image.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dcmwrite(tmp_path / "big.dcm", image, implicit_vr=False, little_endian=False)
    source = read_slice(tmp_path / "big.dcm")
    np.testing.assert_array_equal(source.stored, read_slice(tmp_path / "IMG001").stored)
    derived = derive_slice(source, StoredPixels(source.stored, 0), DERIVATION)
    assert derived[0x6000, 0x3000].value == b"\x34\x12\x78\x56"


def test_an_image_with_burned_in_text_is_not_called_deidentified(tmp_path):
    make_series(tmp_path, slices=1, edit=lambda image, _: setattr(image, "BurnedInAnnotation", "YES"))
    source = read_slice(tmp_path / "IMG001")
    pixels = StoredPixels(source.stored, 0)
    assert derive_slice(source, pixels, DERIVATION).BurnedInAnnotation == "YES"
    with pytest.raises(InputError, match=r"BurnedInAnnotation \(0028,0301\)"):
        derive_slice(source, pixels, replace(DERIVATION, output=DicomOutput(deidentification=Deidentification())))
