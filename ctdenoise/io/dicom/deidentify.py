"""The Basic Application Level Confidentiality Profile of PS3.15 annex E, by Kitware's dicom-anonymizer."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable

from dicomanonymizer import anonymize_dataset
from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from dicomanonymizer.simpledicomanonymizer import initialize_actions
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

#: Table E.1-1 of this edition of the standard.
_TABLE = "dicomfields_2026c"

Tag = tuple[int, int]
Action = Callable[[Dataset, Tag], None]


def deidentify(dataset: Dataset, pseudonym: Callable[[str], str]) -> None:
    """Apply the profile to a dataset in place, in its sequences too; private elements go.

    Parameters
    ----------
    dataset
        Without Pixel Data, which the profile does not look into: text burned into pixels stays.
    pseudonym
        Gives the UID that stands for another; the same for the same, so that references hold.
    """

    def replace_uid(target: Dataset, tag: Tag) -> None:
        element = target.get(tag)
        if element is not None and element.VR == "UI" and element.value:
            value = element.value
            element.value = [pseudonym(v) for v in value] if isinstance(value, MultiValue) else pseudonym(value)

    rules, uid_tags = _profile()
    _apply(dataset, {**rules, **dict.fromkeys(uid_tags, replace_uid)})
    # PS3.15 section E.1.1 and PS3.3 C.12.1.1.7: say what was done.
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = f"dicom-anonymizer {importlib.metadata.version('dicom-anonymizer')}"
    method = Dataset()
    method.CodeValue = "113100"  # CID 7050
    method.CodingSchemeDesignator = "DCM"
    method.CodeMeaning = "Basic Application Confidentiality Profile"
    dataset.DeidentificationMethodCodeSequence = Sequence([method])


@functools.cache
def _profile() -> tuple[dict[Tag, Action], tuple[Tag, ...]]:
    """What the profile does to each element, and the elements whose UIDs it replaces."""
    tables = dicom_anonymization_database_selector(_TABLE)
    removed = set(tables["X_TAGS"])
    rules = {tag: _with_legal_values(action, tag in removed) for tag, action in initialize_actions(_TABLE).items()}
    return rules, tuple(tables["U_TAGS"])


def _with_legal_values(action: Action, remove: bool) -> Action:
    """Keep the library from leaving dates of the year 1, which are none to PS3.5 section 6.2, and names without ^."""

    def apply(target: Dataset, tag: Tag) -> None:
        action(target, tag)
        element = target.get(tag)
        if element is None:
            return
        if element.VR in ("DA", "DT", "TM"):
            if remove:
                del target[tag]
            else:
                element.value = {"DA": "19000101", "DT": "19000101000000", "TM": "000000"}[element.VR]
        elif element.VR == "PN" and element.value:
            element.value = f"{element.value}^"

    return apply


def _apply(dataset: Dataset, rules: dict[Tag, Action]) -> None:
    anonymize_dataset(dataset, base_rules_gen=lambda: dict(rules))
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _apply(item, rules)
