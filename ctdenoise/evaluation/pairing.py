"""Which slices belong together: by their source images, by position, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctdenoise.errors import InputError
from ctdenoise.evaluation.stacks import Slice, Stack

#: Positions closer than this, mm, are the same.
_SAME_MM = 0.2
_SHOWN = 5


@dataclass(frozen=True)
class Aligned:
    """Stacks whose slices belong together.

    Attributes
    ----------
    stacks
        By name; the first is what the others were paired with.
    rows
        For each place, the index in each stack.
    left_out
        Slices of the first stack that another lacks.
    """

    stacks: dict[str, Stack]
    rows: tuple[dict[str, int], ...]
    left_out: int

    @property
    def base(self) -> Stack:
        """Return the first stack."""
        return next(iter(self.stacks.values()))

    def __len__(self) -> int:
        """Return how many places there are."""
        return len(self.rows)

    def label(self, place: int) -> str:
        """Return what to call a place."""
        return self.base.slices[next(iter(self.rows[place].values()))].label

    def read(self, place: int) -> dict[str, NDArray[np.float32]]:
        """Read the slices at a place.

        Raises
        ------
        InputError
            If one cannot be read, or they differ in size.
        """
        images = {name: stack.read(self.rows[place][name]) for name, stack in self.stacks.items()}
        first = next(iter(images))
        for name, image in images.items():
            if image.shape != images[first].shape:
                expected, found = ("×".join(map(str, images[key].shape)) for key in (first, name))
                raise InputError(
                    f"slice {self.label(place)}: expected {expected} as in {first}, found {found}",
                    path=self.stacks[name].path,
                    hint="images must have the same matrix to be compared",
                )
        return images


def align(stacks: dict[str, Stack]) -> Aligned:
    """Pair every stack with the first; see :func:`pair`.

    Raises
    ------
    InputError
        If that cannot be done.
    """
    first, *others = stacks
    rows = {i: {first: i} for i in range(len(stacks[first].slices))}
    for name in others:
        matches = dict(pair(stacks[first], stacks[name]))
        rows = {i: {**row, name: matches[i]} for i, row in rows.items() if i in matches}
    return Aligned(stacks, tuple(rows.values()), len(stacks[first].slices) - len(rows))


def pair(reference: Stack, test: Stack) -> list[tuple[int, int]]:
    """Find the slice of the reference that each slice of the test belongs to.

    By SourceImageSequence (one comes from the other, or both from the same) where all of the test have one; else by
    position along the same normal; else images by name, or anything by its place where there are as many.

    Returns
    -------
    list
        Index in the reference and in the test, in the reference's order. Slices that only the reference has are not
        in it.

    Raises
    ------
    InputError
        If a slice of the test has no partner or several; names them.
    """
    if reference.is_photograph != test.is_photograph:
        raise InputError("expected the same kind as the reference, found images beside HU", path=test.path)
    both = (reference.slices, test.slices)
    for matches in (_by_source(*both), _by_position(reference, test), _by_stem(*both)):
        if matches is not None:
            return _one_to_one(matches, reference, test)
    if len(reference.slices) != len(test.slices):
        raise InputError(
            f"expected {len(reference.slices)} slices as in the reference, found {len(test.slices)}, "
            "with neither source images nor positions to pair them by",
            path=test.path,
        )
    return [(i, i) for i in range(len(test.slices))]


def _one_to_one(matches: list[list[int]], reference: Stack, test: Stack) -> list[tuple[int, int]]:
    alone = [test.slices[i].label for i, found in enumerate(matches) if not found]
    if alone:
        raise InputError(
            f"expected a slice of {reference.path.name} for each, found none for {_some(alone)}",
            path=test.path,
            hint="evaluate against the series it was made from, or one at the same positions",
        )
    several = [test.slices[i].label for i, found in enumerate(matches) if len(found) > 1]
    taken: dict[int, list[str]] = {}
    for i, found in enumerate(matches):
        taken.setdefault(found[0], []).append(test.slices[i].label)
    several += [label for labels in taken.values() if len(labels) > 1 for label in labels]
    if several:
        raise InputError(
            f"expected one slice for each of {reference.path.name}, found several at the same place: {_some(several)}",
            path=test.path,
            hint="a series with several images at a position must be split first",
        )
    return sorted((found[0], i) for i, found in enumerate(matches))


def _by_source(reference: Sequence[Slice], test: Sequence[Slice]) -> list[list[int]] | None:
    known: dict[str, set[int]] = {}
    for i, one in enumerate(reference):
        for uid in one.uids:
            known.setdefault(uid, set()).add(i)
    matches = [sorted({i for uid in one.uids for i in known.get(uid, ())}) for one in test]
    return matches if all(matches) else None


def _by_position(reference: Stack, test: Stack) -> list[list[int]] | None:
    there = [one.position for one in reference.slices]
    here = [one.position for one in test.slices]
    if None in there or None in here:
        return None
    if reference.normal and test.normal and not np.allclose(reference.normal, test.normal, atol=1e-3):
        raise InputError(
            f"expected slices with the normal {_shown(reference.normal)}, found {_shown(test.normal)}",
            path=test.path,
            hint="turn the volume so that its slices are those of the reference",
        )
    positions = np.array(there, float)
    return [np.flatnonzero(np.abs(positions - np.float64(z)) < _SAME_MM).tolist() for z in here]


def _by_stem(reference: Sequence[Slice], test: Sequence[Slice]) -> list[list[int]] | None:
    stems = {one.stem: i for i, one in enumerate(reference) if one.stem}
    matches = [[stems[one.stem]] if one.stem in stems else [] for one in test]
    return matches if all(matches) else None


def _some(labels: Sequence[str]) -> str:
    rest = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return ", ".join(f"slice {label}" for label in labels[:_SHOWN]) + rest


def _shown(normal: Sequence[float]) -> str:
    return "(" + ", ".join(f"{x:.2f}" for x in normal) + ")"
