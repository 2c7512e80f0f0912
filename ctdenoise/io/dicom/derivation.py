"""The identity of derived objects: their UIDs, and the references and descriptions that explain them."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from ctdenoise.provenance import Provenance, json_sha256
from ctdenoise.version import __version__

if TYPE_CHECKING:
    from ctdenoise.io.dicom.deidentify import Deidentification
    from ctdenoise.io.dicom.pixels import StoredPixels

CAUTION = "not for diagnostic use"


@dataclass(frozen=True, kw_only=True)
class DicomOutput:
    """How derived DICOM objects are written.

    Attributes
    ----------
    transfer_syntax
        A value of :class:`~ctdenoise.io.dicom.encode.TransferSyntax`.
    classic
        Write the frames of enhanced CT as classic images.
    drop_private
        Leave private elements out.
    deidentification
        Apply the Basic Application Level Confidentiality Profile (PS3.15 annex E) with these pseudonyms; None does not.
    salt
        Random text that all UIDs of one series depend on; empty for UIDs that a repeated run gives again.
    """

    transfer_syntax: str = "explicit"
    classic: bool = False
    drop_private: bool = False
    deidentification: Deidentification | None = None
    salt: str = ""

    def pseudonym(self, uid: str) -> str:
        """Return the UID that represents a source's UID in the output: itself, or its replacement."""
        return self.deidentification.uid(uid) if self.deidentification else uid

    @property
    def parameters(self) -> dict[str, Any]:
        """All options but the salt as JSON types."""
        return {
            "transfer_syntax": str(self.transfer_syntax),
            "classic": self.classic,
            "drop_private": self.drop_private,
            "deidentification": self.deidentification and self.deidentification.identity,
        }


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """How one series is derived: what is done to its pixels, how it is written, and when.

    Attributes
    ----------
    provenance
        The operation on the pixels, with all resolved parameters.
    output
        How the objects are written.
    time
        When the run began; the same for all slices of a series.
    """

    provenance: Provenance
    output: DicomOutput
    time: datetime

    @cached_property
    def identity(self) -> str:
        """Hash of the operation and of all options that decide what is written."""
        return json_sha256([self.provenance.identity, self.output.parameters, self.output.salt])

    @cached_property
    def equipment(self) -> Dataset:
        """The item of Contributing Equipment Sequence that stands for this software; CID 7005 (109102, DCM)."""
        from highdicom import ContributingEquipment  # 0.3 s that discovery does not need

        return ContributingEquipment(
            "ctdenoise",
            codes.DCM.ProcessingEquipment,
            manufacturer_model_name=self.provenance.name[:64],
            software_versions=__version__,
            contribution_datetime=None if self.output.deidentification else self.time,
            contribution_description=self.description[:1024],
        )

    def series_uid(self, source_uid: str) -> UID:
        """Return the Series Instance UID: it follows from the source series and everything that was resolved."""
        return uuid5(f"ctdenoise/series/{source_uid}/{self.identity}")

    def instance_uid(self, source_uid: str, pixels: StoredPixels, rescale: np.ndarray) -> UID:
        """Return the SOP Instance UID: it follows from the source image, the operation and the derived pixels.

        Two objects with other pixels therefore never share a UID (PS3.3 C.7.6.1.1.2, C.12.1).

        Parameters
        ----------
        source_uid
            The source's SOP Instance UID.
        pixels
            The derived stored values.
        rescale
            Slopes and intercepts that turn them into HU.
        """
        digest = hashlib.sha256(repr((pixels.values.shape, pixels.values.dtype.str)).encode())
        digest.update(np.ascontiguousarray(pixels.values).data)
        digest.update(np.ascontiguousarray(rescale, np.float64).data)
        return uuid5(f"ctdenoise/instance/{source_uid}/{self.identity}/{digest.hexdigest()}")

    def pseudonym(self, uid: str) -> str:
        """Return the UID that represents a source's UID in the output: itself, or its replacement."""
        return self.output.pseudonym(uid)

    @property
    def description(self) -> str:
        """The sentence of the provenance, the software, and the caution."""
        return f"{self.provenance.description}, by ctdenoise {__version__}; {CAUTION}"


def uuid5(name: str) -> UID:
    """Return the UID that follows from a name: a UUID of version 5 as a decimal number (PS3.5 section B.2)."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}")


def append_description(earlier: str | None, derivation: Derivation) -> str:
    """Return a Derivation Description, earlier steps first (PS3.3 C.12.4: ST, at most 1024 characters)."""
    return "; ".join(filter(None, (str(earlier or "").strip(), derivation.description)))[-1024:]


def source_reference(original: Dataset, derivation: Derivation, frame: int | None = None) -> Dataset:
    """Return an item of Source Image Sequence (PS3.3 C.12.4) for an image, or for one frame of it, counted from 1."""
    source = Dataset()
    source.ReferencedSOPClassUID = original.SOPClassUID
    source.ReferencedSOPInstanceUID = derivation.pseudonym(original.SOPInstanceUID)
    if frame is not None:
        source.ReferencedFrameNumber = frame
    source.SpatialLocationsPreserved = "YES"  # PS3.3 C.12.4: each pixel shows the same location
    # CID 7202: (121322, DCM, "Source image for image processing operation").
    source.PurposeOfReferenceCodeSequence = Sequence([code_item(codes.DCM.SourceImageForImageProcessingOperation)])
    return source


def code_item(code: Any) -> Dataset:
    """Return an item of a code sequence (PS3.3 section 8) for a :class:`pydicom.sr.coding.Code`."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item
