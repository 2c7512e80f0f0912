"""Dates and times (PS3.5 section 6.2) moved by whole days."""

from __future__ import annotations

import re
from datetime import date, timedelta

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")  # with dots as ACR-NEMA wrote them
_DATE_TIME = re.compile(r"(\d{8})((?:\d{2}){0,3}(?:\.\d{1,6})?(?:[+-]\d{4})?)")
_TIME = re.compile(r"\d{2,6}(\.\d{1,6})?")


def shift_date(value: str, days: int) -> str | None:
    """Return a date (DA) moved by some days; None if it is no date."""
    match = _DATE.fullmatch(value.strip())
    if match is None:
        return None
    year, month, day = map(int, match.groups())
    try:
        return (date(year, month, day) + timedelta(days)).isoformat().replace("-", "")
    except (ValueError, OverflowError):
        return None


def shift_date_time(value: str, days: int) -> str | None:
    """Return a date and time (DT) moved by some days; None if it has no day, month and year."""
    match = _DATE_TIME.fullmatch(value.strip())
    moved = shift_date(match[1], days) if match else None
    return f"{moved}{match[2]}" if match and moved else None


def keep_time(value: str, days: int) -> str | None:
    """Return a time (TM), which a move by whole days leaves as it is; None if it is no time."""
    return value if _TIME.fullmatch(value.strip()) else None
