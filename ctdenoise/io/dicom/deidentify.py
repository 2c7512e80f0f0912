"""De-identification: the Basic Application Level Confidentiality Profile of PS3.15 annex E, with pseudonyms."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctdenoise.errors import InputError
from ctdenoise.version import __version__

if TYPE_CHECKING:
    from pydicom import Dataset

#: Shorter keys can be found by trial.
_SHORTEST_KEY = 16
#: What stays of file meta information (PS3.10 section 7.1); the rest tells who wrote and sent the file.
_FILE_META = (
    *("FileMetaInformationGroupLength", "FileMetaInformationVersion", "MediaStorageSOPClassUID", "TransferSyntaxUID"),
    "ImplementationClassUID",
)
#: Dates are moved back by up to about ten years.
_MOST_DAYS = 3650


@dataclass(frozen=True, kw_only=True)
class Deidentification:
    """How images are de-identified; the same settings give a patient, a study and an image the same pseudonyms.

    Attributes
    ----------
    patient_id, patient_name
        Written as PatientID (LO) and PatientName (PN); derived if None.
    key
        Secret of at least 16 characters. With it, derived pseudonyms and the shift of dates depend on PatientID and
        IssuerOfPatientID: one patient keeps one pseudonym over all studies. Without it, they depend on
        StudyInstanceUID too: a record number alone could be found by trying all numbers, a UID cannot. Each study of a
        patient then gets a pseudonym of its own. Images without PatientID always get one for each study.
    shift_dates
        Move dates back by a number of days that is the same for all images of one pseudonym, so that intervals are
        kept, and keep times of the day (PS3.15 section E.3.6, Retain Longitudinal Temporal Information with Modified
        Dates). Otherwise dates and times are removed. The birth date is removed in both cases.
    uid_salt
        Random text that UIDs depend on besides, where they must not lead back to the source.

    Raises
    ------
    InputError
        If the key is short, or a value is none for its VR.
    """

    patient_id: str | None = None
    patient_name: str | None = None
    key: str | None = field(default=None, repr=False)
    shift_dates: bool = False
    uid_salt: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.key is not None and len(self.key) < _SHORTEST_KEY:
            raise InputError(f"expected a pseudonym key of {_SHORTEST_KEY} characters or more, found {len(self.key)}")
        for name, value in (("patient ID", self.patient_id), ("patient name", self.patient_name)):
            # LO and each component group of PN: at most 64 characters, no backslash, no control characters (PS3.5 6.2).
            if value is not None and not (0 < len(value.strip()) <= 64 and value.isprintable() and "\\" not in value):
                raise InputError(f"expected a {name} of 1 to 64 characters without backslash, found {value!r}")

    @property
    def identity(self) -> dict[str, Any]:
        """All that the result depends on, for JSON; of the key, a hash."""
        from ctdenoise.io.dicom.confidentiality import TABLE

        return {
            "profile": f"PS3.15 table E.1-1, {TABLE.removeprefix('dicomfields_')}",
            "patient_id": self.patient_id,
            "patient_name": self.patient_name,
            "key": None if self.key is None else self._digest("key").hex()[:16],
            "shift_dates": self.shift_dates,
        }

    def uid(self, uid: str) -> str:
        """Return the UID that replaces another (PS3.5 section B.2); equal for equal ones, so that references hold."""
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', uid, self.uid_salt)[:16], version=5).int}"

    def apply(self, dataset: Dataset) -> None:
        """De-identify the header of a CT image in place, at all levels of nesting.

        Text is kept only where it consists of known technical terms, codes only where PS3.16 has them; private
        elements, overlays, curves, icons and unknown elements are removed.

        Parameters
        ----------
        dataset
            Classic or enhanced CT image, best without Pixel Data, which is not looked into: text in pixels stays.
        """
        from ctdenoise.io.dicom.confidentiality import clean

        patient = self._patient(dataset)
        days = 1 + int.from_bytes(self._digest("dates", *patient)[:8], "big") % _MOST_DAYS
        patient_id = self.patient_id or f"ANON-{self._digest('patient', *patient).hex()[:20]}"
        clean(dataset, self.uid, -days if self.shift_dates else None)
        dataset.PatientID = patient_id
        dataset.PatientName = self.patient_name or f"{patient_id[:63]}^"
        if not (f"{dataset.PatientID}{dataset.PatientName}").isascii():
            dataset.SpecificCharacterSet = "ISO_IR 192"
        self._record(dataset)
        _clean_file_meta(dataset, self.uid)

    def public_name(self, path: Path) -> str:
        """Return what is shown instead of a file's name, which may be a patient's: a hash of its content."""
        try:
            with path.open("rb") as file:
                return f"sha256-{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"
        except OSError:
            return "unreadable file"

    def check_patients(self, patients: Collection[str]) -> None:
        """Refuse to give the images of several patients one PatientID.

        Parameters
        ----------
        patients
            :attr:`~ctdenoise.io.dicom.series.Series.patients` of all series of a run.

        Raises
        ------
        InputError
            If there are several and `patient_id` or `patient_name` is given.
        """
        count = len(set(patients))
        if count > 1 and (self.patient_id or self.patient_name):
            raise InputError(
                f"expected images of one patient for one patient ID or name, found {count} patients",
                hint="process one patient at a time, or leave patient ID and name out: pseudonyms are then derived",
            )

    def _patient(self, dataset: Dataset) -> tuple[str, str, str]:
        """What tells patients apart (PS3.3 C.2.2): an ID is unique for its issuer only."""
        identifier, issuer = (str(dataset.get(k) or "").strip() for k in ("PatientID", "IssuerOfPatientID"))
        study = "" if self.key and identifier else str(dataset.get("StudyInstanceUID") or "")
        return identifier, issuer, study

    def _digest(self, purpose: str, *values: str) -> bytes:
        """Return 32 bytes that follow from the values, and with a key only from both."""
        message = "\0".join((purpose, *values)).encode()
        return hmac.digest((self.key or "ctdenoise").encode(), message, "sha256")

    def _record(self, dataset: Dataset) -> None:
        """Say what was done (PS3.15 section E.1.1, PS3.3 C.7.1.1 and C.12.1.1.7)."""
        from pydicom import Dataset
        from pydicom.sequence import Sequence

        # CID 7050.
        methods = [("113100", "Basic Application Confidentiality Profile")]
        if self.shift_dates:
            methods.append(("113107", "Retain Longitudinal Temporal Information Modified Dates Option"))
        items = []
        for value, meaning in methods:
            item = Dataset()
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
            items.append(item)
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = f"ctdenoise {__version__}, PS3.15 table E.1-1"
        dataset.DeidentificationMethodCodeSequence = Sequence(items)
        dataset.LongitudinalTemporalInformationModified = "MODIFIED" if self.shift_dates else "REMOVED"


def _clean_file_meta(dataset: Dataset, pseudonym: Callable[[str], str]) -> None:
    """Leave of a read file's meta information (PS3.10 section 7.1) what the image needs, and an empty preamble."""
    from pydicom import Dataset

    if getattr(dataset, "preamble", None):
        dataset.preamble = b"\0" * 128
    meta = getattr(dataset, "file_meta", Dataset())
    for element in list(meta):
        if element.keyword == "MediaStorageSOPInstanceUID":
            element.value = pseudonym(element.value)
        elif element.keyword not in _FILE_META:
            del meta[element.tag]
