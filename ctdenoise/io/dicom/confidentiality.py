"""What de-identification does to each element: PS3.15 table E.1-1, and an allow-list for all that it does not name.

Table E.1-1 comes with Kitware's dicom-anonymizer. Its actions are applied here: where the table leaves a choice (X/Z,
Z/D, X/D), an element is removed unless the CT Image or Enhanced CT Image IOD (PS3.3 A.3, A.38) requires it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VM, keyword_for_tag
from pydicom.dataelem import empty_value_for_VR
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from ctdenoise.io.dicom.dates import keep_time, shift_date, shift_date_time
from ctdenoise.io.dicom.enhanced import ENHANCED_CT
from ctdenoise.io.dicom.terms import code_meaning, is_technical

#: Table E.1-1 of this edition of the standard.
TABLE = "dicomfields_2026c"

#: Type 2 in the CT IODs, so emptied and not removed ("Z").
_EMPTIED = frozenset(
    {
        *("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
        *("ReferringPhysicianName", "ContentDate", "ContentTime", "ContrastBolusAgent", "PositionReferenceIndicator"),
        *("Manufacturer", "Laterality", "AcquisitionContextSequence"),
    }
)
#: Type 1 in enhanced CT, so replaced ("D").
_REPLACED = {
    **dict.fromkeys(("DeviceSerialNumber", "SoftwareVersions", "Manufacturer", "ManufacturerModelName"), "ANONYMIZED"),
    **dict.fromkeys(("AcquisitionDateTime", "FrameAcquisitionDateTime", "FrameReferenceDateTime"), "19000101000000"),
    **{"ContentDate": "19000101", "ContentTime": "000000"},
}
#: Text that is kept where :func:`~ctdenoise.io.dicom.terms.is_technical` finds nothing but terms.
_TECHNICAL = frozenset(
    {
        *("SpecificCharacterSet", "ImageType", "FrameType", "Modality", "ConversionType", "BodyPartExamined"),
        *("PatientPosition", "PatientOrientation", "Laterality", "ImageLaterality", "FrameLaterality", "ScanOptions"),
        *("RotationDirection", "ExposureModulationType", "FilterType", "FilterMaterial", "ConvolutionKernel"),
        *(
            "ConvolutionKernelGroup",
            "ReconstructionAlgorithm",
            "AcquisitionType",
            "ConstantVolumeFlag",
            "FluoroscopyFlag",
        ),
        *("PhotometricInterpretation", "PixelPresentation", "VolumetricProperties", "VolumeBasedCalculationTechnique"),
        *("PresentationLUTShape", "RescaleType", "VOILUTFunction", "ModalityLUTType", "WindowCenterWidthExplanation"),
        *("LossyImageCompression", "LossyImageCompressionMethod", "BurnedInAnnotation", "QualityControlImage"),
        *(
            "RecognizableVisualFeatures",
            "ContentQualification",
            "MultienergyCTAcquisition",
            "PositionReferenceIndicator",
        ),
        *("Manufacturer", "ManufacturerModelName", "ContrastBolusRoute", "ContrastBolusAgentPhase"),
        *("ContrastBolusAgentAdministered", "ContrastBolusAgentDetected", "StackID", "DimensionOrganizationType"),
        *("SpatialLocationsPreserved", "CardiacSynchronizationTechnique", "RespiratoryMotionCompensationTechnique"),
    }
)
#: Sequences that are looked into; all others are removed.
_SEQUENCES = frozenset(
    {
        *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "FrameContentSequence"),
        *("PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence", "FrameVOILUTSequence"),
        *("PixelValueTransformationSequence", "FrameAnatomySequence", "CTImageFrameTypeSequence"),
        *("CTAcquisitionTypeSequence", "CTAcquisitionDetailsSequence", "CTTableDynamicsSequence", "CTPositionSequence"),
        *("CTGeometrySequence", "CTReconstructionSequence", "CTExposureSequence", "CTXRayDetailsSequence"),
        *("ContrastBolusUsageSequence", "IrradiationEventIdentificationSequence", "TemporalPositionSequence"),
        *(
            "DerivationImageSequence",
            "ConversionSourceAttributesSequence",
            "UnassignedSharedConvertedAttributesSequence",
        ),
        *("UnassignedPerFrameConvertedAttributesSequence", "DimensionOrganizationSequence", "DimensionIndexSequence"),
        *("ReferencedImageSequence", "SourceImageSequence", "ContributingEquipmentSequence"),
        *("ModalityLUTSequence", "VOILUTSequence", "DerivationCodeSequence", "AnatomicRegionSequence"),
        *("AnatomicRegionModifierSequence", "PrimaryAnatomicStructureSequence", "CTDIPhantomTypeCodeSequence"),
        *("ContrastBolusAgentSequence", "ContrastBolusAdministrationRouteSequence", "ProcedureCodeSequence"),
        *("ContrastBolusIngredientCodeSequence", "PurposeOfReferenceCodeSequence", "RequestedProcedureCodeSequence"),
    }
)
_IMAGE = ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID")
#: What items must still have, or they are removed too.
_REQUIRED = {
    **dict.fromkeys(("ReferencedImageSequence", "SourceImageSequence", "ConversionSourceAttributesSequence"), _IMAGE),
    "DerivationImageSequence": ("SourceImageSequence", "DerivationCodeSequence"),
    "ContributingEquipmentSequence": ("PurposeOfReferenceCodeSequence", "Manufacturer"),
    "ModalityLUTSequence": ("LUTDescriptor", "ModalityLUTType", "LUTData"),
    "VOILUTSequence": ("LUTDescriptor", "LUTData"),
}
#: Binary data of known content; Pixel Data itself is not looked into.
_BINARY = frozenset(
    {"PixelData", "LUTData", *(f"{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue"))}
)
#: UIDs under these roots name classes, transfer syntaxes and coding schemes (PS3.6 annex A, HL7), not instances.
_STANDARD_ROOTS = ("1.2.840.10008.", "2.16.840.1.113883.6.")
_NUMBERS = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT"})

Pseudonym = Callable[[str], str]


def clean(dataset: Dataset, pseudonym: Pseudonym, shift_days: int | None) -> None:
    """Take everything out of a CT image's header that may identify the patient, in place and at all levels.

    Parameters
    ----------
    dataset
        A classic or enhanced CT image.
    pseudonym
        Gives the UID that stands for another.
    shift_days
        Added to all dates but the birth date; None to remove dates and times.
    """
    _Cleaning(pseudonym, shift_days, enhanced=dataset.get("SOPClassUID") in ENHANCED_CT).clean(dataset, top=True)


class _Cleaning:
    """One pass over one dataset."""

    def __init__(self, pseudonym: Pseudonym, shift_days: int | None, *, enhanced: bool) -> None:
        self._pseudonym = pseudonym
        self._shift_days = shift_days
        self._enhanced = enhanced

    def clean(self, dataset: Dataset, *, top: bool = False) -> None:
        for tag in list(dataset.keys()):
            keyword = _keyword(tag)
            element = self._cleaned(dataset, tag, keyword) if keyword else None
            if element is not None:
                dataset[tag] = element
            elif keyword and self._enhanced and keyword in _REPLACED:
                dataset[tag] = DataElement(tag, dataset[tag].VR, _REPLACED[keyword])
            elif keyword and top and keyword in _EMPTIED:
                dataset[tag] = DataElement(tag, dataset[tag].VR, empty_value_for_VR(dataset[tag].VR))
            else:
                del dataset[tag]

    def _cleaned(self, dataset: Dataset, tag: BaseTag, keyword: str) -> DataElement | None:
        """Return what is left of an element, or None."""
        try:
            element = dataset[tag]
            vr, value = element.VR, element.value
        except Exception:  # a value that is none of its VR; pydicom raises many kinds
            return None
        if vr == "SQ":
            return self._cleaned_sequence(element, keyword)
        if vr in ("DA", "DT", "TM"):
            return self._shifted(element, keyword)
        if vr == "UI":
            return _mapped(element, self._uid)
        if _is_listed(tag):
            return None
        if vr in ("DS", "IS"):
            return element if value is None or _are_numbers(value) else None
        if vr in ("CS", "SH", "LO") and keyword in _TECHNICAL:
            return _mapped(element, lambda one: one if is_technical(keyword, one) else None)
        if vr == "US or SS":  # left open by implicit files; a descriptor of three values is the longest
            return element if not isinstance(value, bytes) or len(value) <= 6 else None
        if vr in _NUMBERS:
            return element if _has_its_multiplicity(element) else None
        return element if keyword in _BINARY else None

    def _uid(self, uid: str) -> str:
        return uid if uid.startswith(_STANDARD_ROOTS) else self._pseudonym(uid)

    def _cleaned_sequence(self, element: DataElement, keyword: str) -> DataElement | None:
        if keyword not in _SEQUENCES:
            return None
        items = []
        for item in element.value:
            code = _cleaned_code(item)
            self.clean(item)
            item.update(code or {})
            complete = all(item.get(required) for required in _REQUIRED.get(keyword, ()))
            if complete and (code is None or code):
                items.append(item)
        return DataElement(element.tag, "SQ", Sequence(items)) if items else None

    def _shifted(self, element: DataElement, keyword: str) -> DataElement | None:
        days = self._shift_days
        if days is None or keyword == "PatientBirthDate":  # an age is no date of a study
            return None
        shift = {"DA": shift_date, "DT": shift_date_time, "TM": keep_time}[element.VR]
        return _mapped(element, lambda one: shift(one, days))


@functools.lru_cache(maxsize=4096)
def _keyword(tag: BaseTag) -> str:
    """Keyword of a standard element; "" for private and unknown ones and for repeating groups (overlays, curves)."""
    return keyword_for_tag(tag) if dictionary_has_tag(tag) else ""


@functools.cache
def _listed() -> frozenset[tuple[int, int]]:
    from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector

    return frozenset(tag for tag in dicom_anonymization_database_selector(TABLE)["ALL_TAGS"] if len(tag) == 2)


def _is_listed(tag: BaseTag) -> bool:
    return (tag.group, tag.element) in _listed()


def _mapped(element: DataElement, change: Callable[[str], str | None]) -> DataElement | None:
    """Return an element with each value changed and without those for which nothing is left; None if none is."""
    value = element.value
    values = list(value) if isinstance(value, (MultiValue, list)) else [value or ""]
    changed = [change(str(one)) if one else "" for one in values]
    kept = [one for one in changed if one is not None]
    if not kept or (len(kept) < len(changed) and not any(kept)):
        return None
    return DataElement(element.tag, element.VR, kept if len(kept) > 1 else kept[0])


def _cleaned_code(item: Dataset) -> dict[str, str] | None:
    """Return what a code item (PS3.3 section 8.8) keeps: nothing if its code is not known, None if it is no code."""
    if not any(keyword in item for keyword in ("CodeMeaning", "CodeValue", "LongCodeValue", "URNCodeValue")):
        return None
    scheme, value = str(item.get("CodingSchemeDesignator") or ""), str(item.get("CodeValue") or "")
    meaning = code_meaning(scheme.strip(), value.strip())
    if meaning is None:
        return {}
    return {"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}


def _has_its_multiplicity(element: DataElement) -> bool:
    """Whether an element has no more values than the dictionary says; text read as numbers often has."""
    most = dictionary_VM(element.tag).split("-")[-1]
    return "n" in most or int(most) >= element.VM


def _are_numbers(value: Any) -> bool:
    try:
        [float(one) for one in (value if isinstance(value, (MultiValue, list)) else [value]) if one != ""]
    except (TypeError, ValueError):
        return False
    return True
