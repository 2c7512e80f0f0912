from __future__ import annotations

import pytest

from ctdenoise.evaluation import comparison_table
from tests.conftest import make_series


def test_evaluation_compares_with_the_noise_itself_and_total_variation(tmp_path):
    make_series(tmp_path / "a", slices=1, size=(32, 32))
    path = str(next((tmp_path / "a").iterdir()))
    table = comparison_table(lambda hu: 0 * hu, [[path]], white_hu=[30], projection_hu=[30])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert [row[:2] for row in rows[2:]] == [
        [f"{kind} 30 HU", method]
        for kind in ("white", "projection")
        for method in ("none", "total variation", "ctdenoise")
    ]
    rmse = rows[0].index("RMSE, full")
    none, variation, zero = (float(row[rmse].split()[0]) for row in rows[2:5])
    assert none == pytest.approx(30, rel=0.25)  # less than 30: air is clipped at −1024 HU
    assert variation < none < zero
