"""What was done to an image, and the words and references that tell it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import UID

import ctdenoise

CAUTION = "not for diagnostic use"


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """What was done to the pixels, and how the result is to be written.

    Attributes
    ----------
    name
        Of the model or method.
    identity
        All that the pixels depend on besides the source's.
    done
        For people, as in "denoised".
    summary
        One sentence for people.
    series_offset
        Added to the source's SeriesNumber.
    time
        When the run began; the same for all slices of a series.
    transfer_syntax
        A key of :data:`~ctdenoise.io.dicom.encode.TRANSFER_SYNTAXES`.
    classic
        Write frames of enhanced CT as classic images.
    drop_private
        Leave private elements out.
    deidentify
        Apply the Basic Application Level Confidentiality Profile (PS3.15 annex E).
    salt
        Makes UIDs that follow from nothing but it; empty for those that a repeated run gives again.
    """

    name: str
    identity: str
    done: str
    summary: str
    series_offset: int
    time: datetime
    transfer_syntax: str = "explicit"
    classic: bool = False
    drop_private: bool = False
    deidentify: bool = False
    salt: str = ""

    def uid(self, source_uid: str) -> UID:
        """Derive a UID from a source's: the same process and options give the same one (PS3.5 section B.2)."""
        options = (self.transfer_syntax, self.classic, self.drop_private, self.deidentify, self.salt)
        return uuid5(f"ctdenoise/{source_uid}/{self.identity}/{options!r}")

    def pseudonym(self, uid: str) -> str:
        """Return what stands for a source's UID in the output: itself, or one that cannot be turned back."""
        return uuid5(f"ctdenoise-deidentified/{self.salt}/{uid}") if self.deidentify else uid

    @property
    def description(self) -> str:
        """What was done, by what, and that it is not for diagnosis."""
        return f"{self.summary}, by ctdenoise {ctdenoise.__version__}; {CAUTION}"


def uuid5(name: str) -> UID:
    """Return the UID that follows from a name (PS3.5 section B.2)."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}")


def told(earlier: str | None, derivation: Derivation) -> str:
    """Return a Derivation Description: earlier steps come first (PS3.3 C.12.4: ST, at most 1024 characters)."""
    return "; ".join(filter(None, (str(earlier or "").strip(), derivation.description)))[-1024:]


def source_reference(original: Dataset, derivation: Derivation, frame: int | None = None) -> Dataset:
    """Return an item of Source Image Sequence (PS3.3 C.12.4) that points at an image, or at one frame of it from 1."""
    source = Dataset()
    source.ReferencedSOPClassUID = original.SOPClassUID
    source.ReferencedSOPInstanceUID = derivation.pseudonym(original.SOPInstanceUID)
    if frame is not None:
        source.ReferencedFrameNumber = frame
    source.SpatialLocationsPreserved = "YES"  # PS3.3 C.12.4: pixel for pixel the same places
    # CID 7202: (121322, DCM, "Source image for image processing operation").
    source.PurposeOfReferenceCodeSequence = Sequence([coded(codes.DCM.SourceImageForImageProcessingOperation)])
    return source


def coded(code: object) -> Dataset:
    """Return a code sequence item."""
    item = Dataset()
    item.CodeValue = code.value  # type: ignore[attr-defined]
    item.CodingSchemeDesignator = code.scheme_designator  # type: ignore[attr-defined]
    item.CodeMeaning = code.meaning  # type: ignore[attr-defined]
    return item
