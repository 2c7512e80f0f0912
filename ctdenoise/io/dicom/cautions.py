"""Reasons to doubt that a model fits a series, from its headers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydicom import Dataset

#: Elements that :func:`cautions` reads.
CAUTION_TAGS = (
    "ContributingEquipmentSequence",
    "ConvolutionKernel",
    "ImageComments",
    "ImageType",
    "ProtocolName",
    "ReconstructionAlgorithm",
    "SeriesDescription",
    "SharedFunctionalGroupsSequence",
)


def _words(*words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z])(?:{'|'.join(words)})(?![A-Za-z])", re.IGNORECASE)


#: Words in ImageType (PS3.3 C.8.2.1.1.1, C.8.16.1) and Series Description of images that are no thin axial slices.
_COMBINED = _words(
    *("MIP", "MINIP", "MPR", "AVERAGE", "AVG", "MEAN", "MAXIMUM", "MINIMUM", "SUBTRACTION", "VRT", "SSD"),
    *("PROJECTION IMAGE", "REFORMATTED"),
)
#: Names of iterative reconstruction by vendor. Names that people have, too, are left out.
_ITERATIVE = _words("ASIR", "ASIR-V", "VEO", "MBIR", "SAFIRE", "ADMIRE", "QIR", "IDOSE", "IMR", "AIDR", "AIDR ?3D")
#: Names of learned reconstruction and denoising by vendor.
_LEARNED = _words("DLIR", "DLR", "TRUEFIDELITY", "AICE", "PRECISE IMAGE", "CLEARINFINITY", "CLARICT", "PIXELSHINE")
#: Siemens' kernels of iterative reconstruction, as in I31f.
_ITERATIVE_KERNEL = re.compile(r"[IJ]\d{2}[a-z]")
_OF_EQUIPMENT = "ContributingEquipmentSequence (0018,A001)"
#: What ctdenoise made, by the beginning of the description of its contribution, that is not to be denoised again.
_FINISHED = {
    "Denoised": "the images were denoised by ctdenoise already",
    "Source minus derived": "the images are noise that ctdenoise removed",
}


def cautions(header: Dataset) -> tuple[str, ...]:
    """Return why a model may not fit an image, one sentence each, with no value that people typed.

    Parameters
    ----------
    header
        With the elements of :data:`CAUTION_TAGS` that the file has.
    """
    found = [_processed(header) or _derived(header), _reconstruction(header)]
    return tuple(sentence for sentence in found if sentence)


def made_here(sentences: Iterable[str]) -> bool:
    """Whether the cautions of a series say that ctdenoise made some of its images."""
    return any(sentence.startswith(_OF_EQUIPMENT) for sentence in sentences)


def finished_here(sentences: Iterable[str]) -> str | None:
    """Return the caution that says that a series came of denoising; None if it did not."""
    results = tuple(f"{_OF_EQUIPMENT}: {what}" for what in _FINISHED.values())
    return next((sentence for sentence in sentences if sentence in results), None)


def _processed(header: Dataset) -> str | None:
    """Whether ctdenoise made the image (PS3.3 C.12.1, Contributing Equipment)."""
    for item in header.get("ContributingEquipmentSequence") or ():
        if item.get("Manufacturer") == "ctdenoise":
            description = str(item.get("ContributionDescription") or "")
            what = (sentence for start, sentence in _FINISHED.items() if description.startswith(start))
            return f"{_OF_EQUIPMENT}: {next(what, 'the images were made by ctdenoise')}"
    return None


def _derived(header: Dataset) -> str | None:
    values = [str(value).strip().upper() for value in header.get("ImageType") or ()]
    # Value 3 and on; values 1 and 2 are DERIVED or ORIGINAL, PRIMARY or SECONDARY.
    if match := _COMBINED.search(" ".join(values[2:]).replace("_", " ")):
        return (
            f"ImageType (0008,0008) has {match[0].upper()}: the images are combined from others and have other noise "
            "than axial slices"
        )
    if match := _COMBINED.search(str(header.get("SeriesDescription") or "").replace("_", " ")):
        return f"SeriesDescription (0008,103E) has {match[0].upper()}: the images may be combined from others"
    if values[:1] == ["DERIVED"]:
        return "ImageType (0008,0008) is DERIVED: the pixels were computed from other images and may have other noise"
    return None


def _reconstruction(header: Dataset) -> str | None:
    texts = [
        (f"{keyword} {tag}", " ".join(map(str, _values(header.get(keyword)))).replace("_", " "))
        for keyword, tag in (
            ("ConvolutionKernel", "(0018,1210)"),
            ("SeriesDescription", "(0008,103E)"),
            ("ProtocolName", "(0018,1030)"),
            ("ImageComments", "(0020,4000)"),
        )
    ]
    for names, kind in ((_LEARNED, "a learned reconstruction or denoising"), (_ITERATIVE, "iterative reconstruction")):
        for tag, text in texts:
            if match := names.search(text):
                return f"{tag} has {match[0].upper()}: {kind}, whose noise is not that of filtered back projection"
    kernel = _values(header.get("ConvolutionKernel"))
    if kernel and _ITERATIVE_KERNEL.match(str(kernel[0])):
        return (
            "ConvolutionKernel (0018,1210) is one of iterative reconstruction, "
            "whose noise is not that of filtered back projection"
        )
    # PS3.3 C.8.15.3.7: of enhanced CT, in CT Reconstruction.
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    for item in (header, *(shared.get("CTReconstructionSequence") or ())):
        if item.get("ReconstructionAlgorithm") == "ITERATIVE":
            return "ReconstructionAlgorithm (0018,9315) is ITERATIVE: the noise is not that of filtered back projection"
    return None


def _values(value: object) -> list[object]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]
