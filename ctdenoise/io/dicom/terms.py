"""Technical terms of CT headers: the only text that de-identified images keep.

PS3.15 table E.1-1 lists the elements that are known to hold identifying text. The other text elements are technical,
but nothing stops people from typing a name into them. So their values are kept only where they consist of terms that
PS3.3 defines or that scanners are known to write, and codes only where pydicom's dictionaries of PS3.16 have them.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

#: Codes of kernels and models, as in B31f, Br40d, FC21, AB50, SOM7; 16P; single letters; numbers of up to 3 digits.
_CODE = re.compile(r"[A-Z]{1,2}[a-z]?\d{1,3}[a-z]{0,2}|[A-Za-z]|\d{1,3}[A-Za-z]?")
#: Values that are not made of terms.
_PATTERNS = {
    "SpecificCharacterSet": re.compile(r"(ISO_IR \d{1,3}|ISO 2022 (IR \d{1,3}|GBK)|GB18030|GBK)?"),  # C.12.1.1.2
    "PatientOrientation": re.compile(r"[APRLHF]{1,3}"),  # C.7.6.1.1.1
    "LossyImageCompressionMethod": re.compile(r"ISO_\d{5}_\d{1,2}"),  # C.7.6.1.1.5.1
    "LossyImageCompression": re.compile(r"0[01]"),
    "StackID": re.compile(r"\d{1,4}"),  # C.7.6.16.2.2.7
}
#: Digits in one value; a record number has more.
_MOST_DIGITS = 6


@functools.cache
def _terms() -> frozenset[str]:
    text = Path(__file__).with_name("technical_terms.txt").read_text(encoding="utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())


@functools.lru_cache(maxsize=4096)
def is_technical(keyword: str, value: str) -> bool:
    """Whether one value of a text element consists of technical terms alone."""
    value = value.strip()
    if keyword in _PATTERNS:
        return _PATTERNS[keyword].fullmatch(value) is not None
    words = re.split(r"[\s._/\\()+:,&-]+", value)
    digits = sum(map(str.isdigit, value))
    return digits <= _MOST_DIGITS and all(_is_term(word) for word in words if word)


def _is_term(word: str) -> bool:
    return word.strip("0123456789").upper() in _terms() or _CODE.fullmatch(word) is not None


@functools.lru_cache(maxsize=1024)
def code_meaning(scheme: str, value: str) -> str | None:
    """Return what a code of PS3.16 means by pydicom's dictionaries; None for codes that they do not have.

    Parameters
    ----------
    scheme
        Coding Scheme Designator; SNOMED's retired designators (PS3.16 section 8.1) count as SRT.
    value
        Code Value.
    """
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    wanted = Code(value, "SRT" if scheme in ("SNM3", "99SDM") else scheme, "")
    if wanted.scheme_designator != "SRT" and wanted.scheme_designator not in codes.schemes():
        return None
    # Codes compare equal over SRT and SCT, but have other hashes.
    collection = codes.SCT if wanted.scheme_designator == "SRT" else getattr(codes, wanted.scheme_designator)
    # LO: at most 64 characters (PS3.5 section 6.2).
    return next((code.meaning[:64] for code in collection.concepts.values() if code == wanted), None)
