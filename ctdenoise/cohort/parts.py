"""Division of a plan into parts, each for a process of its own."""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ctdenoise.cohort.plan import PlanEntry
from ctdenoise.errors import InputError


@dataclass(frozen=True)
class Part:
    """A part of a plan.

    Attributes
    ----------
    number
        From 1.
    count
        How many parts there are.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise InputError(f"part: expected K/N with K from 1 to N, found {self.number}/{self.count}")

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] = os.environ) -> Part:
        """Return the part that a text as ``3/40`` names, or with ``auto`` the task of a Slurm array.

        Raises
        ------
        InputError
            If there is no such part, or this process is no task of an array.
        """
        if text == "auto":
            return cls._of_slurm(environment)
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match:
            raise InputError(f"part: expected K/N, as 3/40, or auto, found {text}")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def _of_slurm(cls, environment: Mapping[str, str]) -> Part:
        names = [f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "COUNT", "STEP")]
        try:
            task, first, count = (int(environment[name]) for name in names[:3])
            step = int(environment.get(names[3], "1"))
        except (KeyError, ValueError):
            raise InputError(
                f"part auto: expected a task of a Slurm array ({', '.join(names[:3])}), found none",
                hint="name the part, as --part 3/40",
            ) from None
        return cls((task - first) // step + 1, count)

    def of(self, entries: Sequence[PlanEntry]) -> list[PlanEntry]:
        """Return the series of this part, the longest first.

        Series go, the longest first, each to the part that has the fewest slices so far: no part then has more than 4/3
        of the slices of the best division (Graham 1969). Every process divides the same plan alike.
        """
        loads = [(0, number) for number in range(1, self.count + 1)]
        own = []
        for entry in sorted(entries, key=lambda entry: (-entry.slices, entry.id)):
            slices, number = loads[0]
            heapq.heapreplace(loads, (slices + entry.slices, number))
            if number == self.number:
                own.append(entry)
        return own
