"""Nothing of the patient is left, wherever in the dataset it was, and references still hold."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import DataElement, Dataset, dcmread
from pydicom.datadict import DicomDictionary, dictionary_VR, keyword_for_tag
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian, generate_uid

from ctdenoise.errors import InputError
from ctdenoise.io.dicom.deidentify import Deidentification
from tests.conftest import make_series

KEY = "a secret of enough characters"
MARK = "PLANTED"
PLANTED_UID = "1.2.826.0.1.4711.0815"

#: What a value of each VR looks like that has a name or a number of a patient in it.
VALUES = {
    **dict.fromkeys(("AE", "CS", "SH", "LO", "ST", "LT", "UC", "UT", "PN"), MARK),
    **{"UR": f"http://host/{MARK}", "UI": PLANTED_UID, "AS": "081Y"},
    **dict.fromkeys(("OB", "UN"), MARK.encode() + b" "),
    **{"DA": "20250304", "DT": "20250304112233", "TM": "112233.4711"},
}
TRACES = (MARK.encode(), PLANTED_UID.encode(), b"20250304", b"112233", b"081Y")
#: Elements that the file needs, or that pydicom cannot write with a value that is none.
UNTOUCHED = {"SOPClassUID", "SpecificCharacterSet", "PixelData"}


def fill(dataset: Dataset, depth: int = 0) -> None:
    """Plant values in every text, date, UID and byte element of the dictionary, and in items of every sequence."""
    for tag, (vr, *_, keyword) in DicomDictionary.items():
        if Tag(tag).group < 8 or Tag(tag).element == 0 or keyword in UNTOUCHED:
            continue
        if vr in VALUES:
            dataset[tag] = DataElement(tag, vr, VALUES[vr])
        elif vr == "SQ" and depth == 0:
            item = Dataset()
            for inner in (
                "PatientName",
                "CodeMeaning",
                "ReferencedSOPInstanceUID",
                "TextValue",
                "Date",
                "ImageComments",
            ):
                item.add_new(Tag(inner), dictionary_VR(inner), VALUES[dictionary_VR(inner)])
            item.private_block(0x0009, f"{MARK} PRIVATE", create=True).add_new(1, "LO", MARK)
            deeper = Dataset()
            deeper.PatientComments = MARK
            item.UnassignedSharedConvertedAttributesSequence = Sequence([deeper])
            dataset[tag] = DataElement(tag, vr, Sequence([item]))


def plant(image: Dataset, _: int = 0) -> None:
    fill(image)
    nested = Dataset()
    fill(nested, depth=1)
    image.UnassignedSharedConvertedAttributesSequence = Sequence([nested])
    for group in (0x6000, 0x601E):
        image.add_new((group, 0x0022), "LO", MARK)
        image.add_new((group, 0x4000), "LT", MARK)
        image.add_new((group, 0x1500), "LO", MARK)
        image.add_new((group, 0x3000), "OW", MARK.encode() + b" ")
    image.add_new(0x50000022, "LO", MARK)
    image.add_new(0x00089999, "LO", MARK)  # not in the dictionary
    for group in (0x0009, 0x0029, 0x6001):
        block = image.private_block(group, f"{MARK} PRIVATE", create=True)
        for number, vr in enumerate(("LO", "UN", "OB", "UT", "PN")):
            block.add_new(number, vr, VALUES[vr])


def ct(folder: Path, **attributes: object) -> Dataset:
    """A small CT image without pixels."""
    make_series(folder, slices=1)
    image = dcmread(folder / "IMG001")
    del image.PixelData
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    return image


def written(dataset: Dataset) -> bytes:
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


def applied(image: Dataset, **settings: object) -> Dataset:
    Deidentification(**settings).apply(image)
    return image


@pytest.mark.parametrize("settings", [{}, {"key": KEY}, {"shift_dates": True}], ids=str)
def test_what_is_planted_in_any_element_at_any_level_is_found_nowhere(tmp_path, settings):
    image = ct(tmp_path)
    plant(image)
    image.file_meta.SourceApplicationEntityTitle = MARK
    image.preamble = MARK.ljust(128).encode()
    assert written(image).count(MARK.encode()) > 3000
    content = written(applied(image, **settings))
    times_stay = {b"112233"} if settings.get("shift_dates") else set()
    assert {trace for trace in TRACES if trace in content} == times_stay
    assert not [e for e in dcmread(BytesIO(content)).iterall() if e.tag.is_private or e.tag.group >> 8 in (0x50, 0x60)]


@pytest.mark.parametrize("name", ["dcmqi_BSD/*multiframe__mf.dcm", "dicomParser_MIT/*multi-frame__CT0012.explicit*"])
def test_what_is_planted_in_enhanced_ct_is_found_nowhere(data, name):
    (path,) = (data / "dicom-flavours").glob(name)
    image = dcmread(path, stop_before_pixels=True)
    for groups in (image.SharedFunctionalGroupsSequence[0], *image.PerFrameFunctionalGroupsSequence):
        fill(groups, depth=1)
        for element in groups:
            for item in element.value if element.VR == "SQ" else ():
                fill(item, depth=1)
    plant(image)
    content = written(applied(image))
    assert [trace for trace in TRACES if trace in content] == []


def test_text_of_a_known_element_is_kept_only_where_it_is_a_technical_term(tmp_path):
    image = ct(
        tmp_path,
        ConvolutionKernel=["I31f", "3"],
        FilterType="BODY FILTER",
        BodyPartExamined="CHEST",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI", "DOE"],
        Manufacturer="GE MEDICAL SYSTEMS",
        ManufacturerModelName="LightSpeed VCT of Dr. Doe",
        ScanOptions="DOE",
    )
    applied(image)
    assert image.ConvolutionKernel == ["I31f", "3"]
    assert (image.FilterType, image.BodyPartExamined) == ("BODY FILTER", "CHEST")
    assert image.ImageType == ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]
    assert image.Manufacturer == "GE MEDICAL SYSTEMS"
    assert "ManufacturerModelName" not in image
    assert "ScanOptions" not in image


def test_numbers_of_implicit_files_stay_unless_they_are_too_long_to_be_numbers(tmp_path):
    image = ct(tmp_path, PixelPaddingValue=0)
    image.add_new("LargestImagePixelValue", "US", 4095)
    image.add_new("SmallestImagePixelValue", "US or SS", b"PLANTED ")
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    image = dcmread(BytesIO(written(image)))
    applied(image)
    assert image.LargestImagePixelValue == 4095
    assert "SmallestImagePixelValue" not in image


def code(value: str, scheme: str, meaning: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return Sequence([item])


def test_codes_of_the_standard_get_its_meaning_and_others_are_removed(tmp_path):
    image = ct(
        tmp_path,
        CTDIPhantomTypeCodeSequence=code("113691", "DCM", "IEC phantom for DOE"),
        AnatomicRegionSequence=code("T-D3000", "SRT", "Chest of DOE"),
        ProcedureCodeSequence=code("4711", "99LOCAL", "CT of DOE"),
        DerivationCodeSequence=code("99999999", "DCM", "DOE"),
    )
    applied(image)
    assert image.CTDIPhantomTypeCodeSequence[0].CodeMeaning == "IEC Body Dosimetry Phantom"
    assert image.AnatomicRegionSequence[0].CodeValue == "T-D3000"
    assert "DOE" not in image.AnatomicRegionSequence[0].CodeMeaning
    assert "ProcedureCodeSequence" not in image
    assert "DerivationCodeSequence" not in image


def test_references_hold_and_standard_uids_stay(tmp_path):
    image = ct(tmp_path)
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    broken = Dataset()
    broken.ReferencedSOPClassUID = image.SOPClassUID
    image.ReferencedImageSequence = Sequence([reference, broken])
    source = {k: image[k].value for k in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "SOPClassUID")}
    settings = Deidentification()
    settings.apply(image)
    assert image.SOPInstanceUID == settings.uid(source["SOPInstanceUID"]) == image.file_meta.MediaStorageSOPInstanceUID
    assert image.StudyInstanceUID == settings.uid(source["StudyInstanceUID"])
    (item,) = image.ReferencedImageSequence
    assert item.ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert item.ReferencedSOPClassUID == image.SOPClassUID == source["SOPClassUID"]


def test_geometry_and_pixel_attributes_stay(tmp_path):
    image, source = ct(tmp_path / "a"), dcmread(tmp_path / "a" / "IMG001")
    applied(image)
    for keyword in ("ImagePositionPatient", "PixelSpacing", "Rows", "RescaleIntercept", "SliceThickness", "KVP"):
        assert image.get(keyword) == source.get(keyword), keyword
    assert image.PatientIdentityRemoved == "YES"
    assert image.LongitudinalTemporalInformationModified == "REMOVED"
    assert [item.CodeValue for item in image.DeidentificationMethodCodeSequence] == ["113100"]
    assert image.StudyDate == image.PatientBirthDate == ""


def patient(folder: Path, settings: Deidentification, **attributes: object) -> tuple[str, str]:
    image = ct(folder, **attributes)
    settings.apply(image)
    return str(image.PatientID), str(image.PatientName)


def test_with_a_key_a_patient_keeps_one_pseudonym_over_studies_and_without_one_over_one_study(tmp_path):
    studies = [generate_uid(), generate_uid()]
    for settings, expected in ((Deidentification(key=KEY), 1), (Deidentification(), 2)):
        found = {patient(tmp_path, settings, PatientID="4711", StudyInstanceUID=study) for study in studies}
        again = {patient(tmp_path, settings, PatientID=" 4711 ", StudyInstanceUID=study) for study in studies}
        assert len(found) == expected
        assert found == again
        assert not any("4711" in value for pair in found for value in pair)
    other = patient(tmp_path, Deidentification(key=KEY + "!"), PatientID="4711")
    assert other != patient(tmp_path, Deidentification(key=KEY), PatientID="4711")


@pytest.mark.parametrize("key", [None, KEY])
def test_two_patients_never_get_one_pseudonym(tmp_path, key):
    study = generate_uid()
    people = [{"PatientID": str(n), "StudyInstanceUID": study} for n in range(40)]
    people += [{"PatientID": "7", "IssuerOfPatientID": issuer, "StudyInstanceUID": study} for issuer in ("A", "B")]
    # Without an ID, another study may be another patient's.
    people += [{"PatientID": "", "StudyInstanceUID": generate_uid()} for _ in range(3)]
    found = {patient(tmp_path, Deidentification(key=key), **person)[0] for person in people}
    assert len(found) == len(people)


def test_given_patient_id_and_name_are_written_and_refused_for_several_patients(tmp_path):
    settings = Deidentification(patient_id="CASE 7", patient_name="Jürgens^Case")
    image = ct(tmp_path)
    settings.apply(image)
    image = dcmread(BytesIO(written(image)))
    assert (image.PatientID, image.PatientName) == ("CASE 7", "Jürgens^Case")
    settings.check_patients(["a", "a"])
    with pytest.raises(InputError, match="found 2 patients"):
        settings.check_patients(["a", "b", "a"])
    Deidentification().check_patients(["a", "b"])


@pytest.mark.parametrize(
    "settings", [{"key": "short"}, {"patient_id": ""}, {"patient_id": "a\\b"}, {"patient_name": "x" * 65}], ids=str
)
def test_settings_that_cannot_be_written_or_kept_secret_are_refused(settings):
    with pytest.raises(InputError, match="expected a"):
        Deidentification(**settings)


def test_shifted_dates_keep_intervals_and_times_at_all_levels(tmp_path):
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    item.ContentDate = "20240301"
    dates = {"StudyDate": "20240228", "SeriesDate": "2024.03.01", "AcquisitionDateTime": "20240301112233.5+0100"}
    image = ct(tmp_path, **dates, StudyTime="112233", PatientBirthDate="19700101", PatientID="4711")
    image.ReferencedImageSequence = Sequence([item])
    image.AcquisitionDate = "2024"  # not a date
    settings = Deidentification(key=KEY, shift_dates=True)
    settings.apply(image)
    study, series = (Dataset.get(image, k) for k in ("StudyDate", "SeriesDate"))
    assert study < "20240228"
    assert days(series) - days(study) == 2
    assert image.AcquisitionDateTime == f"{series}112233.5+0100"
    assert image.ReferencedImageSequence[0].ContentDate == series
    assert image.StudyTime == "112233"
    assert "AcquisitionDate" not in image
    assert image.PatientBirthDate == ""
    assert image.LongitudinalTemporalInformationModified == "MODIFIED"
    assert [item.CodeValue for item in image.DeidentificationMethodCodeSequence] == ["113100", "113107"]
    later = ct(tmp_path, PatientID="4711", StudyDate="20250228", StudyInstanceUID=generate_uid())
    settings.apply(later)
    assert days(later.StudyDate) - days(study) == 366
    other = ct(tmp_path, PatientID="4712", StudyDate="20240228")
    settings.apply(other)
    assert other.StudyDate != study


def days(date: str) -> int:
    from datetime import datetime

    return datetime.strptime(date, "%Y%m%d").toordinal()


def test_uids_are_repeatable_and_follow_from_a_key_if_there_is_one():
    uid = generate_uid()
    plain, keyed, other = (Deidentification(key=key).uid(uid) for key in (None, KEY, KEY * 2))
    assert plain == Deidentification(patient_id="X", shift_dates=True).uid(uid)
    assert len({uid, plain, keyed, other}) == 4
    for pseudonym in (plain, keyed, other):
        assert re.fullmatch(r"2\.25\.[1-9]\d{0,38}", pseudonym)


def test_identity_tells_settings_apart_and_keeps_the_key_secret():
    settings = [
        Deidentification(),
        Deidentification(patient_id="A"),
        Deidentification(patient_name="A"),
        Deidentification(key=KEY),
        Deidentification(key=KEY * 2),
        Deidentification(shift_dates=True),
    ]
    identities = [json.dumps(one.identity) for one in settings]
    assert len(set(identities)) == len(settings)
    assert not any(KEY in text for one, text in zip(settings, identities, strict=True) for text in (text, repr(one)))
    assert pickle.loads(pickle.dumps(settings[3])) == settings[3]


def test_public_names_follow_from_content_alone(tmp_path):
    settings = Deidentification()
    for name in ("DOE^JANE.dcm", "other"):
        (tmp_path / name).write_bytes(b"content")
    names = {settings.public_name(tmp_path / name) for name in ("DOE^JANE.dcm", "other")}
    assert names == {"sha256-ed7002b439e9"}
    assert settings.public_name(tmp_path / "DOE^JANE absent") == "unreadable file"


def test_the_module_is_cheap_to_import():
    code = (
        "import importlib.util, sys; "
        "spec = importlib.util.spec_from_file_location('d', sys.argv[1]); "
        "module = importlib.util.module_from_spec(spec); sys.modules['d'] = module; spec.loader.exec_module(module); "
        "sys.exit(bool({'pydicom', 'dicomanonymizer', 'numpy'} & set(sys.modules)))"
    )
    path = sys.modules[Deidentification.__module__].__file__
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 0


def test_every_element_of_the_profile_is_one_that_is_removed_emptied_or_replaced():
    """The table of dicom-anonymizer is there and what is kept as technical text is not in it."""
    from ctdenoise.io.dicom import confidentiality

    listed = {keyword_for_tag(Tag(tag)) for tag in confidentiality._listed()}
    assert {"PatientName", "InstitutionName", "PatientWeight", "EthnicGroup"} <= listed
    assert not listed & confidentiality._TECHNICAL
