"""How well model observers see a phantom's lesions: scans with and without them, of the source or a denoised series."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctdenoise.audit.sampled_observers import SampledDetectability, laguerre_gauss, sampled_cho, sampled_npw
from ctdenoise.errors import InputError
from ctdenoise.evaluation.stacks import Stack, open_stack

#: Side of the regions in which lesions are looked for, in radii.
_RADII = 6


def regions(stack: Stack, centre: tuple[int, int], side: int) -> NDArray[np.float32]:
    """Return the region around a place in each slice of a series, ``[N, side, side]`` HU.

    Parameters
    ----------
    stack
        From :func:`~ctdenoise.evaluation.stacks.open_stack`; each slice is a scan of the same phantom.
    centre
        Row and column.
    side
        Odd number of pixels.

    Raises
    ------
    InputError
        If the region is not within a slice, or a slice cannot be read.
    """
    top, left = (at - side // 2 for at in centre)
    found = []
    for index in range(len(stack.slices)):
        image = stack.read(index)
        if min(top, left) < 0 or top + side > image.shape[0] or left + side > image.shape[1]:
            raise InputError(
                f"expected {side} × {side} pixels around row {centre[0]}, column {centre[1]}, "
                f"found {image.shape[0]} × {image.shape[1]} pixels",
                path=stack.path,
            )
        found.append(image[top : top + side, left : left + side])
    return np.stack(found)


def observers(present: Stack, absent: Stack, centre: tuple[int, int], radius: float) -> dict[str, SampledDetectability]:
    """Return what each observer reaches for one lesion.

    Parameters
    ----------
    present, absent
        Scans with and without the lesion.
    centre, radius
        Of the lesion, pixels.

    Raises
    ------
    InputError
        If a region cannot be read, or there are too few scans.
    """
    if present.is_photograph or absent.is_photograph:
        raise InputError("expected a CT series or volume, found photographs", path=present.path)
    side = 2 * int(np.ceil(radius * _RADII / 2)) + 1
    with_lesion, without = (regions(stack, centre, side) for stack in (present, absent))
    try:
        return {
            "NPW": sampled_npw(with_lesion, without),
            "LG-CHO": sampled_cho(with_lesion, without, laguerre_gauss(side, radius)),
        }
    except ValueError as error:
        raise InputError(str(error), path=present.path) from error


def main() -> None:
    """Measure the detectability of lesions and print it as a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m ctdenoise.audit.detectability", description=__doc__)
    parser.add_argument("present", type=Path, help="series or volume of which each slice is a scan with the lesions")
    parser.add_argument("absent", type=Path, help="the same without them")
    parser.add_argument(
        "--lesion",
        nargs=3,
        type=float,
        action="append",
        required=True,
        metavar=("ROW", "COLUMN", "RADIUS"),
        help="centre and radius of a lesion, pixels; may be repeated",
    )
    options = parser.parse_args()
    try:
        present, absent = open_stack(options.present), open_stack(options.absent)
        print("| row, column, radius | observer | d′ | AUC |\n| --- | --- | --- | --- |")
        for row, column, radius in options.lesion:
            for name, found in observers(present, absent, (round(row), round(column)), radius).items():
                print(
                    f"| {row:g}, {column:g}, {radius:g} | {name} | {found.d_prime:.2f} ± {found.d_prime_sd:.2f} "
                    f"| {found.auc:.3f} ± {found.auc_sd:.3f} |"
                )
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
