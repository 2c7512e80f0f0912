"""Nothing of the patient is left, wherever in the dataset it was, and references still hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

from ctdenoise.io.dicom import derive_slice, read_slice, write_slice
from ctdenoise.io.dicom.pixels import StoredPixels
from tests.conftest import make_series
from tests.io.dicom.test_derive import DERIVATION

NAME, IDENTIFIER = "PLANTED", "4711-0815"


def plant(image: Dataset, _: int) -> None:
    """Put a name and an identifier wherever a header has room for them."""
    image.PatientName = f"{NAME}^NAME"
    image.PatientID = IDENTIFIER
    image.OtherPatientNames = NAME
    image.ReferringPhysicianName = NAME
    image.OperatorsName = NAME
    image.InstitutionName = NAME
    image.StudyDescription = f"{NAME} follow-up"
    image.SeriesDescription = f"Thorax {NAME}"
    image.ImageComments = f"for {NAME}"
    image.DerivationDescription = f"by {NAME}"
    image.AccessionNumber = IDENTIFIER
    image.StudyID = IDENTIFIER
    item = Dataset()
    item.PatientID = IDENTIFIER
    item.RequestedProcedureDescription = NAME
    image.OtherPatientIDsSequence = Sequence([item])
    image.RequestAttributesSequence = Sequence([item])
    nested = Dataset()
    nested.ReferencedSOPClassUID = image.SOPClassUID
    nested.ReferencedSOPInstanceUID = image.SOPInstanceUID
    nested.PatientName = NAME
    image.ReferencedImageSequence = Sequence([nested])
    image.StudyDate = "20250304"
    image.PatientBirthDate = "19700101"
    block = image.private_block(0x0009, f"{NAME} PRIVATE", create=True)
    block.add_new(1, "LO", NAME)


def derived(folder, **options):
    make_series(folder, slices=2, edit=plant)
    images = []
    for name in ("IMG001", "IMG002"):
        source = read_slice(folder / name)
        image = derive_slice(source, StoredPixels(source.stored, 0), replace(DERIVATION, **options))
        write_slice(image, folder / f"{name}.dcm")
        images.append((source.dataset, dcmread(folder / f"{name}.dcm"), (folder / f"{name}.dcm").read_bytes()))
    return images


def test_name_identifier_and_dates_are_gone(tmp_path):
    for source, image, content in derived(tmp_path, deidentify=True):
        for planted in (NAME.encode(), IDENTIFIER.encode(), b"20250304", b"19700101"):
            assert planted not in content
        for uid in (source.SOPInstanceUID, source.SeriesInstanceUID, source.StudyInstanceUID):
            assert uid.encode() not in content
        assert image.PatientIdentityRemoved == "YES"
        assert image.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert "not for diagnostic use" in image.SeriesDescription


def test_references_hold_within_the_set(tmp_path):
    (first, one, _), (_, other, _) = derived(tmp_path, deidentify=True)
    assert one.StudyInstanceUID == other.StudyInstanceUID
    assert one.FrameOfReferenceUID == other.FrameOfReferenceUID
    assert one.SeriesInstanceUID == other.SeriesInstanceUID
    assert one.SOPInstanceUID != other.SOPInstanceUID
    reference = one.SourceImageSequence[0].ReferencedSOPInstanceUID
    assert reference == replace(DERIVATION, deidentify=True).pseudonym(first.SOPInstanceUID)
    for keyword in ("ImagePositionPatient", "PixelSpacing", "Rows", "RescaleIntercept", "SliceThickness"):
        assert one[keyword] == first[keyword]


def test_private_elements_go_when_asked_and_only_they(tmp_path):
    (_, kept, _), _ = derived(tmp_path / "kept")
    assert kept.private_block(0x0009, f"{NAME} PRIVATE")[1].value == NAME
    (source, dropped, _), _ = derived(tmp_path / "dropped", drop_private=True)
    assert not [element for element in dropped.iterall() if element.tag.is_private]
    assert dropped.PatientName == source.PatientName


def test_salted_pseudonyms_cannot_be_repeated():
    uid = generate_uid()
    salted = [replace(DERIVATION, deidentify=True, salt=salt).pseudonym(uid) for salt in ("", "a", "b")]
    assert len({*salted, uid}) == 4
    assert DERIVATION.pseudonym(uid) == uid
    assert all(pytest.approx(len(s), abs=25) == 44 for s in salted)
