"""A derived CT image from its source: new identity, its history told, everything else kept."""

from __future__ import annotations

import copy

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

import ctdenoise
from ctdenoise.errors import InputError
from ctdenoise.io.dicom.derivation import CAUTION, Derivation, coded, source_reference, told
from ctdenoise.io.dicom.encode import encode
from ctdenoise.io.dicom.enhanced import is_enhanced, tell_frames
from ctdenoise.io.dicom.pixels import CTSlice, StoredPixels


def derive_slice(source: CTSlice, pixels: StoredPixels, derivation: Derivation) -> Dataset:
    """Make the derived image of a source image.

    Parameters
    ----------
    source
        Stays as it is.
    pixels
        ``[Rows, Columns]``, or ``[frames, Rows, Columns]`` for enhanced CT: what the derived image shows, in the
        source's own rescale and bit depth.
    derivation
        What was done.

    Returns
    -------
    Dataset
        In the transfer syntax that `derivation` says, with file meta information.

    Raises
    ------
    InputError
        If the image cannot be de-identified as asked.
    """
    original = source.dataset
    # A deep copy of all but the pixels, which are replaced.
    derived = Dataset()
    for element in original:
        if element.tag not in _NOT_KEPT:
            derived.add(copy.deepcopy(element))
    if derivation.drop_private:
        derived.remove_private_tags()
    _drop_overlays_in_pixels(derived)
    if original.file_meta.TransferSyntaxUID == ExplicitVRBigEndian:
        _swap_words(derived)
    if derivation.deidentify:
        if original.get("BurnedInAnnotation") == "YES":
            # PS3.3 C.7.6.1 and PS3.15 section E.3.1: the profile does not clean pixels.
            raise InputError(
                "expected no text in the pixels of an image to be de-identified, found YES",
                path=source.path,
                tag="BurnedInAnnotation (0028,0301)",
            )
        from ctdenoise.io.dicom.deidentify import deidentify

        deidentify(derived, derivation.pseudonym)
    _identify(derived, original, derivation)
    if is_enhanced(original):
        tell_frames(derived, original, derivation)
    else:
        _tell_history(derived, source, derivation)
    _tell_equipment(derived, derivation)
    _put_pixels(derived, original, pixels)
    encode(derived, derivation.transfer_syntax, original.file_meta.TransferSyntaxUID)
    return derived


def _drop_overlays_in_pixels(derived: Dataset) -> None:
    """Leave out overlays that were bits of the source's pixels, which decoding takes away (PS3.3 C.9.2, retired)."""
    for group in range(0x6000, 0x6020, 2):
        position = derived.get((group, 0x0102))
        if position is not None and position.value not in (None, 0):
            for tag in [element.tag for element in derived.group_dataset(group)]:
                del derived[tag]


def _swap_words(dataset: Dataset) -> None:
    """Turn the words of big-endian binary values round; pydicom leaves them as bytes (PS3.5 section 7.3)."""
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


def _identify(derived: Dataset, original: Dataset, derivation: Derivation) -> None:
    """New instance and series; study, patient and frame of reference stay (PS3.3 C.7.6.1.1.2)."""
    derived.SOPClassUID = original.SOPClassUID
    derived.SOPInstanceUID = derivation.uid(original.SOPInstanceUID)
    derived.SeriesInstanceUID = derivation.uid(original.SeriesInstanceUID)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = derived.SOPClassUID  # PS3.10 section 7.1: equal to (0008,0016)
    meta.MediaStorageSOPInstanceUID = derived.SOPInstanceUID  # and to (0008,0018)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    derived.file_meta = meta
    # PS3.3 C.7.3.1: Series Number is Type 2, for people to tell series of a study apart.
    derived.SeriesNumber = derivation.series_offset + int(original.get("SeriesNumber") or 0)
    # LO: at most 64 characters (PS3.5 section 6.2).
    suffix = f"{derivation.done}, {CAUTION}"
    name = str(derived.get("SeriesDescription") or "").strip()[: 64 - len(suffix) - 3].rstrip()
    derived.SeriesDescription = f"{name} - {suffix}" if name else suffix
    if not derivation.deidentify:
        date, time = derivation.time.strftime("%Y%m%d"), derivation.time.strftime("%H%M%S")
        # PS3.3 C.12.1: when this instance was created.
        derived.InstanceCreationDate, derived.InstanceCreationTime = date, time
        # PS3.3 C.7.3.1 and C.7.6.1: when this series was begun, and the making of these pixels; Type 3 and 2C, so told
        # where the source tells its own. Study and acquisition times stay: the patient was scanned then. General
        # Equipment (PS3.3 C.7.5.1) and the operator stay those of the scanner; ours is contributing equipment.
        for keyword, value in (
            ("SeriesDate", date),
            ("SeriesTime", time),
            ("ContentDate", date),
            ("ContentTime", time),
        ):
            if original.get(keyword):
                setattr(derived, keyword, value)


def _tell_history(derived: Dataset, source: CTSlice, derivation: Derivation) -> None:
    original, frame = source.frame_of or (source.dataset, None)
    # PS3.3 C.7.6.1.1.2 and C.8.2.1.1.1: pixels derived from others; value 3 (AXIAL or LOCALIZER) and on are kept.
    kept = list(source.dataset.get("ImageType") or ())[2:] or ["AXIAL"]
    derived.ImageType = ["DERIVED", "SECONDARY", *kept]
    derived.DerivationDescription = told(derived.get("DerivationDescription"), derivation)
    derived.SourceImageSequence = Sequence([source_reference(original, derivation, frame)])


def _tell_equipment(derived: Dataset, derivation: Derivation) -> None:
    # PS3.3 C.12.1: equipment that contributed, after any the source names; CID 7005 (109102, DCM).
    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = Sequence([coded(codes.DCM.ProcessingEquipment)])
    equipment.Manufacturer = "ctdenoise"
    equipment.ManufacturerModelName = derivation.name
    equipment.SoftwareVersions = ctdenoise.__version__
    if not derivation.deidentify:
        equipment.ContributionDateTime = derivation.time.strftime("%Y%m%d%H%M%S")
    equipment.ContributionDescription = derivation.description
    derived.ContributingEquipmentSequence = Sequence([*derived.get("ContributingEquipmentSequence", ()), equipment])
    # PS3.3 C.7.6.1: Image Comments, LT, shown by most viewers.
    comments = str(derived.get("ImageComments") or "").strip()
    caution = f"{derivation.done.capitalize()} by ctdenoise; {CAUTION}."
    derived.ImageComments = f"{caution} {comments}".strip()


def _put_pixels(derived: Dataset, original: Dataset, pixels: StoredPixels) -> None:
    values = pixels.values
    derived.BitsAllocated = 8 * values.dtype.itemsize
    derived.HighBit = int(original.BitsStored) - 1  # PS3.5 section 8.1.1: decoding aligned the value so
    for keyword, value in (
        ("SmallestImagePixelValue", int(values.min())),
        ("LargestImagePixelValue", int(values.max())),
    ):
        if keyword in original:  # PS3.3 C.7.6.3: Type 3, but what is there must be true
            derived.add_new(keyword, "SS" if original.PixelRepresentation else "US", value)
    syntax = original.file_meta.TransferSyntaxUID
    if syntax in _LOSSY and "LossyImageCompression" not in original:
        derived.LossyImageCompression = "01"  # PS3.3 C.7.6.1.1.5: once lossy, always told
    little_endian = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    derived.add_new(0x7FE00010, "OW", little_endian + b"\0" * (len(little_endian) % 2))


_LOSSY = frozenset(
    {
        "1.2.840.10008.1.2.4.50",  # JPEG baseline
        "1.2.840.10008.1.2.4.51",  # JPEG extended
        "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    }
)
