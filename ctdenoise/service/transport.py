"""How results get to a destination: the protocol that C-STORE and STOW-RS implement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

#: Problem of an attempt that the node itself ended; it is no failure.
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Sent:
    """What became of an attempt.

    Attributes
    ----------
    accepted
        SOP Instance UIDs that the destination has.
    problem
        Why others were not accepted; "" if all were.
    refused
        SOP Instance UIDs that it does not have, although it accepted them before.
    """

    accepted: list[str] = field(default_factory=list)
    problem: str = ""
    refused: list[str] = field(default_factory=list)


class Transport(Protocol):
    """Sends files to one destination. What goes wrong is an outcome, not an exception."""

    def send(self, files: Mapping[str, Path]) -> Sent:
        """Send files, by SOP Instance UID."""

    def commit(self, instances: Mapping[str, Path]) -> Sent:
        """Ask whether the destination keeps instances that it accepted, if that is wanted."""


def describe(problems: Sequence[str]) -> str:
    """Return a sentence for problems of many files: each kind once, with its number."""
    kinds = list(dict.fromkeys(problems))
    return "; ".join(f"{problems.count(kind)} × {kind}" if len(problems) > 1 else kind for kind in kinds[:3])
