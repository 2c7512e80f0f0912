"""Seams: steps along whole lines, and not lesions that lie beside one."""

from __future__ import annotations

import numpy as np
import pytest

from ctdenoise.audit.seams import find_seam

SIDE, NOISE_HU = 320, 10.0
ROWS, COLUMNS = np.indices((SIDE, SIDE))
BODY = np.hypot(ROWS - SIDE / 2, COLUMNS - SIDE / 2) < SIDE / 2 - 4
LOCAL = np.full((SIDE, SIDE), NOISE_HU, np.float32)


def removed() -> np.ndarray:
    """Return removed noise."""
    return np.random.default_rng(0).normal(0, NOISE_HU / 8, (SIDE, SIDE)).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_step_along_a_line_is_found_where_it_is(axis):
    difference = removed() + 3 * ((ROWS, COLUMNS)[axis] >= 180)
    seam = find_seam(difference, BODY, LOCAL, (20, 50))
    assert seam is not None
    assert seam.z > 8
    name, number = seam.line.split()
    assert name == ("row", "column")[axis]
    assert int(number) == pytest.approx(180 + (20, 50)[axis], abs=1)
    assert abs(seam.hu) == pytest.approx(3, rel=0.2)


@pytest.mark.parametrize(("row", "column"), [(100, 110), (200, 90), (130, 200)])
def test_a_lesion_is_no_seam(row, column):
    lesion = 200.0 * (np.hypot(ROWS - row, COLUMNS - column) <= 14)
    seam = find_seam((removed() + lesion).astype(np.float32), BODY, LOCAL, (0, 0))
    assert seam is not None
    assert seam.z < 7


def test_no_line_is_long_enough():
    assert find_seam(removed(), np.hypot(ROWS - 160, COLUMNS - 160) < 20, LOCAL, (0, 0)) is None
