from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

import ctdenoise
from ctdenoise.io.dicom import Derivation, derive_slice, read_slice, write_slice
from ctdenoise.io.dicom.pixels import StoredPixels
from tests.conftest import Edit, make_series

DERIVATION = Derivation(model="ct-lowdose", model_sha256="ab" * 32, strength=0.75, time=datetime(2026, 5, 6, 7, 8, 9))


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


@pytest.mark.parametrize(
    "change",
    [
        {"model_sha256": "cd" * 32},
        {"strength": 0.7},
        {"transfer_syntax": "rle"},
        {"classic": True},
        {"drop_private": True},
        {"deidentify": True},
        {"salt": "0"},
    ],
)
def test_uids_follow_from_source_model_and_options(change):
    uid = DERIVATION.uid("1.2.3")
    assert replace(DERIVATION, time=datetime(2027, 1, 1), model="renamed").uid("1.2.3") == uid
    assert DERIVATION.uid("1.2.4") != uid
    assert replace(DERIVATION, **change).uid("1.2.3") != uid


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
    created = {"InstanceCreationDate", "InstanceCreationTime"}
    history = {"ImageType", "DerivationDescription", "SourceImageSequence", "ContributingEquipmentSequence"}
    allowed = identity | created | history | {"ImageComments", "PixelData"}
    for element in source:
        if element.keyword not in allowed:
            assert derived[element.tag] == element, element
    assert {e.keyword for e in derived if e.tag not in source} <= allowed
    assert list(derived.ImageType) == ["DERIVED", "SECONDARY", "AXIAL", "HELIX"]
    assert [e.Manufacturer for e in derived.ContributingEquipmentSequence] == ["earlier", "ctdenoise"]


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
