"""Frames of enhanced CT as classic CT images."""

from __future__ import annotations

import copy
from math import isfinite

import numpy as np
from pydicom import Dataset
from pydicom.uid import CTImageStorage

from ctdenoise.io.dicom.derivation import uuid5
from ctdenoise.io.dicom.enhanced import functional_group
from ctdenoise.io.dicom.pixels import CTSlice

#: Where a frame says what a classic image says of itself (PS3.3 C.7.6.16.2 and C.8.15.3).
_FROM_GROUPS = {
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelValueTransformationSequence": ("RescaleIntercept", "RescaleSlope", "RescaleType"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation"),
    "CTReconstructionSequence": ("ConvolutionKernel", "ReconstructionDiameter"),
    "CTXRayDetailsSequence": ("KVP", "FilterType"),
    "CTAcquisitionDetailsSequence": (
        "RotationDirection",
        "TableHeight",
        "GantryDetectorTilt",
        "DataCollectionDiameter",
    ),
    "CTExposureSequence": ("ExposureModulationType", "CTDIvol"),
}
#: What a frame says in fractions of ms, mA and mAs, and a classic image in whole ones.
_EXPOSURE = {
    "ExposureTimeInms": "ExposureTime",
    "XRayTubeCurrentInmA": "XRayTubeCurrent",
    "ExposureInmAs": "Exposure",
}
#: What belongs to enhanced images alone.
_NOT_CLASSIC = frozenset(
    {
        *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "NumberOfFrames", "PixelData"),
        *("DimensionOrganizationSequence", "DimensionIndexSequence", "DimensionOrganizationType"),
        *("PixelPresentation", "VolumetricProperties", "VolumeBasedCalculationTechnique", "PresentationLUTShape"),
        *("AcquisitionContextSequence", "MultienergyCTAcquisition", "ConcatenationUID", "InConcatenationNumber"),
        *("ContentQualification", "IsocenterPosition", "SourceImageEvidenceSequence", "ReferencedRawDataSequence"),
        *("ContrastBolusAgentSequence", "ContrastBolusAgentPhase"),
        *(f"{c}PaletteColorLookupTable{part}" for c in ("Red", "Green", "Blue") for part in ("Data", "Descriptor")),
    }
)


def frame_uid(image_uid: str, frame: int) -> str:
    """Return what identifies a frame, from 1, of an enhanced image as a classic one."""
    return uuid5(f"ctdenoise-frame/{image_uid}/{frame}")


def classic_frames(source: CTSlice) -> list[CTSlice]:
    """Return the frames of an enhanced image as classic images; a classic one as it is."""
    if source.stored.ndim == 2:
        return [source]
    return [_frame(source, index) for index in range(len(source.stored))]


def _frame(source: CTSlice, index: int) -> CTSlice:
    original = source.dataset
    image = Dataset()
    for element in original:
        if element.keyword not in _NOT_CLASSIC:
            image.add(copy.deepcopy(element))
    image.file_meta = original.file_meta
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = frame_uid(original.SOPInstanceUID, index + 1)
    image.InstanceNumber = index + 1
    image.ImageType = [*list(original.get("ImageType") or ("ORIGINAL", "PRIMARY"))[:2], "AXIAL"]
    for group, keywords in _FROM_GROUPS.items():
        values = functional_group(original, index, group) or Dataset()
        for keyword in keywords:
            if keyword in values:
                image[keyword] = copy.deepcopy(values[keyword])
    exposure = functional_group(original, index, "CTExposureSequence") or Dataset()
    for fraction, whole in _EXPOSURE.items():
        value = exposure.get(fraction)
        if isinstance(value, float) and isfinite(value):
            setattr(image, whole, round(value))
    if image.get("RescaleType") == "US":  # unspecified, which classic CT has no term for (PS3.3 C.8.2.1.1.5)
        del image.RescaleType
    anatomy = functional_group(original, index, "FrameAnatomySequence")
    if anatomy is not None:  # Type 2C: R, L, or empty where it is not known (PS3.3 C.7.3.1)
        side = anatomy.get("FrameLaterality")
        image.Laterality = side if side in ("R", "L") else ""
    content = functional_group(original, index, "FrameContentSequence") or Dataset()
    image.AcquisitionNumber = content.get("FrameAcquisitionNumber")  # Type 2, as KVP (PS3.3 C.8.2.1)
    for keyword in ("KVP", "PositionReferenceIndicator", "SliceThickness"):
        if keyword not in image:
            setattr(image, keyword, None)
    return CTSlice(
        source.path,
        image,
        source.stored[index],
        source.hu[index],
        source.padding[index],
        np.float64(source.slope[index].item()),  # type: ignore[arg-type]
        np.float64(source.intercept[index].item()),  # type: ignore[arg-type]
        frame_of=(original, index + 1),
    )
