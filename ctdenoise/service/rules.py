"""Which rule matches a series, and why a series is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from pydicom import Dataset

from ctdenoise.service.settings import Rule

#: Elements that rules look at.
RULE_TAGS = (
    *("Modality", "BodyPartExamined", "ConvolutionKernel", "SeriesDescription", "SliceThickness"),
    "SharedFunctionalGroupsSequence",
)


def first_match(rules: Sequence[Rule], header: Dataset, calling_ae_title: str) -> Rule | None:
    """Return the first rule whose conditions all hold; None if there is none.

    Parameters
    ----------
    rules
        In order.
    header
        Of an image of the series, with the elements of :data:`RULE_TAGS` that it has.
    calling_ae_title
        Of who sent it.
    """
    return next((rule for rule in rules if _matches(rule, header, calling_ae_title)), None)


def _matches(rule: Rule, header: Dataset, calling_ae_title: str) -> bool:
    texts = (
        (rule.modality, header.get("Modality")),
        (rule.body_part, _value(header, "BodyPartExamined", "AnatomicRegionSequence")),
        (rule.kernel, _value(header, "ConvolutionKernel")),
        (rule.description, header.get("SeriesDescription")),
        (rule.calling_ae_title, calling_ae_title),
    )
    return all(_fits(patterns, value) for patterns, value in texts) and _is_as_thick(rule, header)


def _fits(patterns: Sequence[str], value: Any) -> bool:
    if not patterns:
        return True
    values = [value] if isinstance(value, str) else list(value or [""])
    return any(fnmatchcase(str(v).strip().lower(), pattern.lower()) for pattern in patterns for v in values)


def _is_as_thick(rule: Rule, header: Dataset) -> bool:
    if rule.thickness_mm is None:
        return True
    try:
        thickness = float(_value(header, "SliceThickness"))
    except (TypeError, ValueError):  # absent or text in its place
        return False
    return rule.thickness_mm[0] <= thickness <= rule.thickness_mm[1]


def _value(header: Dataset, keyword: str, code_sequence: str = "") -> Any:
    """Return an element, of enhanced CT that of its shared functional groups or the meaning of its code."""
    if header.get(keyword) not in (None, ""):
        return header.get(keyword)
    for group in header.get("SharedFunctionalGroupsSequence") or ():
        for element in group.iterall():
            if element.keyword == keyword:
                return element.value
            if code_sequence and element.keyword == code_sequence and element.value:
                return element.value[0].get("CodeMeaning")
    return None
