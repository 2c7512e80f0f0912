"""Derive a CT image from its source: new identity, recorded history, everything else kept."""

from __future__ import annotations

import copy
import textwrap

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from ctdenoise.errors import InputError
from ctdenoise.io.dicom.derivation import CAUTION, Derivation, append_description, source_reference
from ctdenoise.io.dicom.derived_frames import describe_frames
from ctdenoise.io.dicom.encode import encode
from ctdenoise.io.dicom.enhanced import is_enhanced
from ctdenoise.io.dicom.pixels import CTSlice, StoredPixels

#: Largest value of an integer string, IS (PS3.5 section 6.2).
_LARGEST_IS = 2**31 - 1
#: Characters of a long string, LO (PS3.5 section 6.2), between its parts, and of the scanner's text that stay at least.
_LONGEST_LO, _DASH, _LEAST_NAME = 64, " - ", 5


def derive_slice(source: CTSlice, pixels: StoredPixels, derivation: Derivation) -> Dataset:
    """Make the derived image of a source image.

    Parameters
    ----------
    source
        Not changed.
    pixels
        Derived stored values, ``[Rows, Columns]``, or ``[frames, Rows, Columns]`` for enhanced CT, in the source's
        rescale and bit depth.
    derivation
        The operation and how to write its result.

    Returns
    -------
    Dataset
        In the transfer syntax that `derivation` asks for, with file meta information.

    Raises
    ------
    InputError
        If the image cannot be de-identified as asked.
    """
    original = source.dataset
    derived = _copy_without_pixels(original)
    if derivation.output.drop_private:
        derived.remove_private_tags()
    _drop_overlays_in_pixels(derived)
    if original.file_meta.TransferSyntaxUID == ExplicitVRBigEndian:
        _swap_words(derived)
    if derivation.output.deidentification:
        _refuse_burned_in_text(source)
        derivation.output.deidentification.apply(derived)
    _set_identity(derived, source, pixels, derivation)
    if is_enhanced(original):
        describe_frames(derived, original, derivation)
    else:
        _describe_history(derived, source, derivation)
    _describe_equipment(derived, derivation)
    _set_pixels(derived, original, pixels)
    encode(derived, derivation.output.transfer_syntax, original.file_meta.TransferSyntaxUID)
    return derived


def _copy_without_pixels(original: Dataset) -> Dataset:
    """Copy all elements that stay: as bytes where those can be written as they are, sequences deeply otherwise."""
    derived = Dataset()
    in_explicit_little_endian = original.original_encoding == (False, True)
    if in_explicit_little_endian:
        derived.set_original_encoding(False, True, original.original_character_set)
    for tag in original.keys() - _NOT_KEPT:
        element = original.get_item(tag)
        if not (in_explicit_little_endian and _is_writable(element)):
            element = original[tag]
            element = copy.deepcopy(element) if element.VR == "SQ" else copy.copy(element)
        derived[tag] = element
    return derived


def _is_writable(element: DataElement | RawDataElement) -> bool:
    """Whether an element is still the bytes that were read, of even length (PS3.5 section 7.1.1) and known type."""
    return isinstance(element, RawDataElement) and element.VR != "UN" and len(element.value or b"") % 2 == 0


def _refuse_burned_in_text(source: CTSlice) -> None:
    if source.dataset.get("BurnedInAnnotation") == "YES":
        # PS3.3 C.7.6.1 and PS3.15 section E.3.1: the basic profile does not clean pixels.
        raise InputError(
            "expected no text in the pixels of an image to be de-identified, found YES",
            path=source.path,
            tag="BurnedInAnnotation (0028,0301)",
        )


def _drop_overlays_in_pixels(derived: Dataset) -> None:
    """Leave out overlays that were bits of the source's pixels, which decoding takes away (PS3.3 C.9.2, retired)."""
    for group in range(0x6000, 0x6020, 2):
        position = derived.get((group, 0x0102))
        if position is not None and position.value not in (None, 0):
            for tag in [element.tag for element in derived.group_dataset(group)]:
                del derived[tag]


def _swap_words(dataset: Dataset) -> None:
    """Swap the bytes of big-endian binary values, which pydicom leaves as they are (PS3.5 section 7.3)."""
    for element in dataset.iterall():
        size = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}.get(element.VR)
        if size and isinstance(element.value, bytes) and len(element.value) % size == 0:
            element.value = np.frombuffer(element.value, f">u{size}").astype(f"<u{size}").tobytes()


_NOT_KEPT = frozenset(
    {
        0x7FE00010,  # Pixel Data, replaced
        0x7FE00001,  # Extended Offset Table and
        0x7FE00002,  # its lengths: of the source's encoding (PS3.3 C.7.6.3.1)
        0x00280108,  # Smallest and
        0x00280109,  # Largest Pixel Value in Series: would need all slices at once, Type 3
        0x4FFE0001,  # MAC Parameters and
        0xFFFAFFFA,  # Digital Signatures: void once a signed element changes (PS3.3 C.12.1.1.3)
        0xFFFCFFFC,  # Data Set Trailing Padding: of the source's file (PS3.10 section 7.2)
    }
)


def _set_identity(derived: Dataset, source: CTSlice, pixels: StoredPixels, derivation: Derivation) -> None:
    """New instance and series; study, patient and frame of reference stay (PS3.3 C.7.6.1.1.2)."""
    original, label = source.dataset, derivation.provenance.label
    rescale = np.stack((source.slope, source.intercept))
    derived.SOPClassUID = original.SOPClassUID
    derived.SOPInstanceUID = derivation.instance_uid(original.SOPInstanceUID, pixels, rescale)
    derived.SeriesInstanceUID = derivation.series_uid(original.SeriesInstanceUID)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = derived.SOPClassUID  # PS3.10 section 7.1: equal to (0008,0016)
    meta.MediaStorageSOPInstanceUID = derived.SOPInstanceUID  # and to (0008,0018)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    derived.file_meta = meta
    derived.SeriesNumber = derived_series_number(
        original.get("SeriesNumber"), derivation.provenance.series_number_offset
    )
    derived.SeriesDescription = _series_description(str(derived.get("SeriesDescription") or "").strip(), label)
    if not derivation.output.deidentification:
        _set_dates(derived, original, derivation)


def _series_description(source: str, label: str) -> str:
    """Return the source's Series Description and what was done; LO: at most 64 characters (PS3.5 section 6.2).

    Of a source that ctdenoise made, the scanner's text is cut before what was done to it.
    """
    suffix = f"{label}, {CAUTION}"
    room = max(0, _LONGEST_LO - len(suffix) - len(_DASH))
    if source.endswith(CAUTION):
        source, _, done = source.removesuffix(f", {CAUTION}").rpartition(_DASH)
        done = textwrap.shorten(done, max(1, room - len(_DASH) - _LEAST_NAME), placeholder="")
        source = _DASH.join(filter(None, (source[: max(0, room - len(_DASH) - len(done))].rstrip(), done)))
    return _DASH.join(filter(None, (source[:room].rstrip(), suffix)))


def derived_series_number(number: int | None, offset: int) -> int:
    """Return the Series Number of the derived series (PS3.3 C.7.3.1: Type 2, to tell series of a study apart)."""
    shifted = offset + int(number or 0)
    return shifted if shifted <= _LARGEST_IS else offset


def _set_dates(derived: Dataset, original: Dataset, derivation: Derivation) -> None:
    date, time = derivation.time.strftime("%Y%m%d"), derivation.time.strftime("%H%M%S")
    # PS3.3 C.12.1: when this instance was created.
    derived.InstanceCreationDate, derived.InstanceCreationTime = date, time
    # PS3.3 C.7.3.1 and C.7.6.1: when the series and its pixels were made; Type 3 and 2C, so given only where the source
    # has them. Study and acquisition times stay: the patient was scanned then. General Equipment (PS3.3 C.7.5.1) and
    # the operator stay the scanner's; this software is contributing equipment.
    for keyword, value in (("SeriesDate", date), ("SeriesTime", time), ("ContentDate", date), ("ContentTime", time)):
        if original.get(keyword):
            setattr(derived, keyword, value)


def _describe_history(derived: Dataset, source: CTSlice, derivation: Derivation) -> None:
    original, frame = source.frame_of or (source.dataset, None)
    # PS3.3 C.7.6.1.1.2 and C.8.2.1.1.1: pixels derived from others; value 3 (AXIAL or LOCALIZER) and on are kept.
    kept = list(derived.get("ImageType") or ())[2:] or ["AXIAL"]
    derived.ImageType = ["DERIVED", "SECONDARY", *kept]
    derived.DerivationDescription = append_description(derived.get("DerivationDescription"), derivation)
    derived.SourceImageSequence = Sequence([source_reference(original, derivation, frame)])


def _describe_equipment(derived: Dataset, derivation: Derivation) -> None:
    # PS3.3 C.12.1: equipment that contributed, after any the source names.
    earlier = derived.get("ContributingEquipmentSequence", ())
    derived.ContributingEquipmentSequence = Sequence([*earlier, derivation.equipment])
    # PS3.3 C.7.6.1: Image Comments, LT, shown by most viewers.
    comments = str(derived.get("ImageComments") or "").strip()
    caution = f"{derivation.provenance.label.capitalize()} by ctdenoise; {CAUTION}."
    derived.ImageComments = f"{caution} {comments}".strip()


def _set_pixels(derived: Dataset, original: Dataset, pixels: StoredPixels) -> None:
    # set_pixel_data takes the bytes as they are.
    values = pixels.values.astype(pixels.values.dtype.newbyteorder("<"), copy=False)
    frames = original.get("NumberOfFrames")
    derived.set_pixel_data(
        values, original.PhotometricInterpretation, int(original.BitsStored), generate_instance_uid=False
    )
    if frames is not None:  # Type 1 in enhanced CT (PS3.3 C.7.6.6); set_pixel_data removes it for a single frame
        derived.NumberOfFrames = frames
    for keyword, value in (
        ("SmallestImagePixelValue", int(values.min())),
        ("LargestImagePixelValue", int(values.max())),
    ):
        if keyword in original:  # PS3.3 C.7.6.3: Type 3, but a value that is there must be true
            derived.add_new(keyword, "SS" if original.PixelRepresentation else "US", value)
    if original.file_meta.TransferSyntaxUID in LOSSY_SYNTAXES and "LossyImageCompression" not in original:
        derived.LossyImageCompression = "01"  # PS3.3 C.7.6.1.1.5: once lossy, always recorded


#: JPEG baseline and extended, JPEG-LS near-lossless; JPEG 2000 may be either.
LOSSY_SYNTAXES = frozenset(
    {
        "1.2.840.10008.1.2.4.50",  # JPEG baseline
        "1.2.840.10008.1.2.4.51",  # JPEG extended
        "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    }
)
