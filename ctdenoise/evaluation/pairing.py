"""Matching of slices of several stacks: by source images, by position, by file name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctdenoise.errors import InputError
from ctdenoise.evaluation.stacks import Slice, Stack

#: Names of the stacks that have a role in an evaluation; all others are evaluated.
REFERENCE, NOISY = "reference", "noisy"
#: Positions that differ by less, mm, are the same.
_POSITION_TOLERANCE_MM = 0.2
#: Most slices that an error message names.
_MOST_NAMED = 5


@dataclass(frozen=True)
class AlignedStacks:
    """Stacks and which of their slices belong together.

    Attributes
    ----------
    stacks
        By name; the first is the one that the others were matched with.
    matches
        For each matched slice, its index in each stack.
    unmatched
        Number of slices of the first stack without a counterpart in every other.
    """

    stacks: dict[str, Stack]
    matches: tuple[dict[str, int], ...]
    unmatched: int

    @property
    def base(self) -> Stack:
        """The first stack."""
        return next(iter(self.stacks.values()))

    def __len__(self) -> int:
        """Return the number of matched slices."""
        return len(self.matches)

    def label(self, index: int) -> str:
        """Return the label of a matched slice, as in the first stack."""
        return self.base.slices[next(iter(self.matches[index].values()))].label

    def read(self, index: int) -> dict[str, NDArray[np.float32]]:
        """Read a matched slice of every stack.

        Raises
        ------
        InputError
            If a slice cannot be read, or the slices differ in size.
        """
        images = {name: stack.read(self.matches[index][name]) for name, stack in self.stacks.items()}
        first = next(iter(images))
        for name, image in images.items():
            if image.shape != images[first].shape:
                expected, found = ("×".join(map(str, images[key].shape)) for key in (first, name))
                raise InputError(
                    f"slice {self.label(index)}: expected {expected} as in {first}, found {found}",
                    path=self.stacks[name].path,
                    hint="only images of the same matrix size can be compared",
                )
        return images


def align(stacks: dict[str, Stack]) -> AlignedStacks:
    """Match the slices of every stack with those of the first; see :func:`pair`.

    Raises
    ------
    InputError
        If that is not possible.
    """
    first, *others = stacks
    matches = {i: {first: i} for i in range(len(stacks[first].slices))}
    for name in others:
        pairs = dict(pair(stacks[first], stacks[name], first))
        matches = {i: {**match, name: pairs[i]} for i, match in matches.items() if i in pairs}
    return AlignedStacks(stacks, tuple(matches.values()), len(stacks[first].slices) - len(matches))


def pair(reference: Stack, test: Stack, called: str = REFERENCE) -> list[tuple[int, int]]:
    """Find the slice of the reference that each slice of the test belongs to.

    By SourceImageSequence (one was derived from the other, or both from the same images) if every slice of the test has
    one that the reference knows; else by position along the same normal; else images by file name; else in order, if
    both have the same number of slices.

    Parameters
    ----------
    reference, test
        The stacks.
    called
        What messages call the reference.

    Returns
    -------
    list
        Index in the reference and in the test, in the order of the reference. Slices that only the reference has are
        left out.

    Raises
    ------
    InputError
        If a slice of the test has no counterpart or several; the message names these slices.
    """
    if reference.is_photograph != test.is_photograph:
        raise InputError(f"expected the same kind of images as the {called}, found photographs and CT", path=test.path)
    both = (reference.slices, test.slices)
    for matches in (_by_source(*both), _by_position(reference, test, called), _by_stem(*both)):
        if matches is not None:
            return _one_to_one(matches, reference, test)
    if len(reference.slices) != len(test.slices):
        raise InputError(
            f"expected {len(reference.slices)} slices as in the {called}, found {len(test.slices)}, "
            "with neither source images nor positions to match them by",
            path=test.path,
        )
    return [(i, i) for i in range(len(test.slices))]


def source_and_derived(sources: Sequence[Stack], derived: Sequence[Stack]) -> tuple[Stack, Stack]:
    """Return the one pair of which the second was made from the first, as headers say; the only pair without asking.

    Raises
    ------
    InputError
        If there are several series and not exactly one such pair.
    """
    if len(sources) == len(derived) == 1:
        return sources[0], derived[0]
    pairs = [(source, result) for source in sources for result in derived if is_derived(result, source)]
    if len(pairs) == 1:
        return pairs[0]
    found = ", ".join(str(result.slices[0].path.parent) for _, result in pairs[:_MOST_NAMED])
    raise InputError(
        f"expected one series that was derived from one of {sources[0].path}, found {found or 'none'}",
        path=derived[0].path,
        hint="give the folders of one series each; ctdenoise inspect lists the series in a folder",
    )


def is_derived(stack: Stack, other: Stack) -> bool:
    """Return whether the headers of a stack say that it was derived from the other: DICOM series only."""
    known = {one.uid for one in other.slices if one.uid}
    return any((one.uids - {one.uid}) & known for one in stack.slices)


def _one_to_one(matches: list[list[int]], reference: Stack, test: Stack) -> list[tuple[int, int]]:
    alone = [test.slices[i].label for i, found in enumerate(matches) if not found]
    if alone:
        raise InputError(
            f"expected a slice of {reference.path.name} for each slice, found none for {_named(alone)}",
            path=test.path,
            hint="compare it with the series it was derived from, or with one at the same positions",
        )
    several = [test.slices[i].label for i, found in enumerate(matches) if len(found) > 1]
    taken: dict[int, list[str]] = {}
    for i, found in enumerate(matches):
        taken.setdefault(found[0], []).append(test.slices[i].label)
    several += [label for labels in taken.values() if len(labels) > 1 for label in labels]
    if several:
        raise InputError(
            f"expected one slice for each slice of {reference.path.name}, found several at the same position: "
            f"{_named(several)}",
            path=test.path,
            hint="split a series that has several images at a position first",
        )
    return sorted((found[0], i) for i, found in enumerate(matches))


def _by_source(reference: Sequence[Slice], test: Sequence[Slice]) -> list[list[int]] | None:
    known: dict[str, set[int]] = {}
    for i, one in enumerate(reference):
        for uid in one.uids:
            known.setdefault(uid, set()).add(i)
    matches = [sorted({i for uid in one.uids for i in known.get(uid, ())}) for one in test]
    return matches if all(matches) else None


def _by_position(reference: Stack, test: Stack, called: str) -> list[list[int]] | None:
    expected = [one.position for one in reference.slices]
    found = [one.position for one in test.slices]
    if None in expected or None in found:
        return None
    if reference.normal and test.normal and not np.allclose(reference.normal, test.normal, atol=1e-3):
        raise InputError(
            f"expected slices with the normal {_vector(reference.normal)}, found {_vector(test.normal)}",
            path=test.path,
            hint=f"reorient the volume so that its slices are parallel to those of the {called}",
        )
    positions = np.array(expected, float)
    return [np.flatnonzero(np.abs(positions - np.float64(z)) < _POSITION_TOLERANCE_MM).tolist() for z in found]


def _by_stem(reference: Sequence[Slice], test: Sequence[Slice]) -> list[list[int]] | None:
    stems = {one.stem: i for i, one in enumerate(reference) if one.stem}
    matches = [[stems[one.stem]] if one.stem in stems else [] for one in test]
    return matches if all(matches) else None


def _named(labels: Sequence[str]) -> str:
    rest = f" and {len(labels) - _MOST_NAMED} more" if len(labels) > _MOST_NAMED else ""
    return ", ".join(f"slice {label}" for label in labels[:_MOST_NAMED]) + rest


def _vector(normal: Sequence[float]) -> str:
    return "(" + ", ".join(f"{x:.2f}" for x in normal) + ")"
