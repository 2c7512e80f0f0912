"""What the worker says of a series; apart from the work, so that the node need not import what computes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class JobOutcome:
    """What became of a series.

    Attributes
    ----------
    kind
        ``done``: there are results, perhaps with `problems`; ``left_alone``; ``failed``; ``stopped``: on request, to be
        continued; ``no_space``: the disk is full; ``crashed``: by an error of this program.
    rule
        Name of the rule that matched; "" if none did.
    results
        Files below the series' `out`, by SOP Instance UID.
    destinations
        Names of where they go.
    seconds
        How long it took.
    problems
        What could not be processed, or why the series was left alone, failed or crashed.
    notes
        What should be known besides.
    """

    kind: Literal["done", "left_alone", "failed", "stopped", "no_space", "crashed"]
    rule: str = ""
    results: dict[str, str] = field(default_factory=dict)
    destinations: list[str] = field(default_factory=list)
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
