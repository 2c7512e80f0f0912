"""The functional groups of a derived enhanced CT image."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes

from ctdenoise.io.dicom.derivation import Derivation, append_description, code_item, source_reference


def describe_frames(derived: Dataset, original: Dataset, derivation: Derivation) -> None:
    """Mark each frame as derived and reference its source frame (PS3.3 C.8.15.2 and C.7.6.16.2.6)."""
    derived.ImageType = _derived_type(derived.get("ImageType"))
    shared = (derived.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    per_frame = derived.get("PerFrameFunctionalGroupsSequence") or []
    for groups in (shared, *per_frame):
        for keyword in ("CTImageFrameTypeSequence", "CTImageFrameType"):
            for item in groups.get(keyword) or ():
                item.FrameType = _derived_type(item.get("FrameType"))
    for number, groups in enumerate(per_frame, start=1):
        # One functional group is either shared or per frame (PS3.3 C.7.6.16.1.1), so what was shared goes along.
        earlier = groups.get("DerivationImageSequence") or copy.deepcopy(shared.get("DerivationImageSequence")) or ()
        item = Dataset()
        item.DerivationDescription = append_description(None, derivation)
        # CID 7203 has no code for denoising; Type 1 here.
        item.DerivationCodeSequence = Sequence([code_item(codes.DCM.Smoothing)])
        item.SourceImageSequence = Sequence([source_reference(original, derivation, number)])
        groups.DerivationImageSequence = Sequence([*earlier, item])
    if "DerivationImageSequence" in shared:
        del shared.DerivationImageSequence
    # PS3.3 C.8.15.2: Type 1C, where Source Image Sequence is: the images by series and study.
    image = Dataset()
    image.ReferencedSOPClassUID = original.SOPClassUID
    image.ReferencedSOPInstanceUID = derivation.pseudonym(original.SOPInstanceUID)
    series = Dataset()
    series.SeriesInstanceUID = derivation.pseudonym(original.SeriesInstanceUID)
    series.ReferencedSOPSequence = Sequence([image])
    study = Dataset()
    study.StudyInstanceUID = derivation.pseudonym(original.StudyInstanceUID)
    study.ReferencedSeriesSequence = Sequence([series])
    derived.SourceImageEvidenceSequence = Sequence([*derived.get("SourceImageEvidenceSequence", ()), study])


def _derived_type(image_type: Iterable[object] | None) -> list[str]:
    """Value 1 becomes DERIVED, the rest stays; value 2 is PRIMARY for enhanced CT (PS3.3 C.8.16.1)."""
    values = [str(v) for v in image_type or ()]
    return ["DERIVED", *(values[1:] or ["PRIMARY", "VOLUME", "NONE"])]
