from __future__ import annotations

import pytest

from ctdenoise.evaluation import ct_comparison
from ctdenoise.io.dicom import discover


def rows(table: str) -> list[dict[str, str]]:
    head, _, *lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    return [dict(zip(head, line, strict=True)) for line in lines]


def number(cell: str) -> float:
    return float(cell.split()[0].rstrip("%"))


@pytest.mark.slow
def test_ct_is_compared_by_dose_with_truth_bias_and_resolution(data):
    files = [str(f.path) for f in discover(data / "ct" / "rider-0117").series[0].slices[18:23]]
    table = rows(ct_comparison(lambda hu: hu + 5, [files], doses=[0.25]))
    by = {(row["image"], row["method"]): row for row in table}
    assert {image for image, _ in by} == {"validation patient, 25% dose", "phantom, 25% dose"}
    for image in ("validation patient, 25% dose", "phantom, 25% dose"):
        noisy, filtered, shifted = (by[image, method] for method in ("none", "total variation", "ctdenoise"))
        assert number(filtered["PSNR, soft-tissue"]) > number(noisy["PSNR, soft-tissue"]) + 1
        assert number(shifted["HU bias"]) - number(noisy["HU bias"]) == pytest.approx(5, abs=0.02)
        assert noisy["noise removed"] == shifted["noise removed"] == "0%"
        assert 30 < number(filtered["noise removed"]) < 100
    phantom = by["phantom, 25% dose", "total variation"]
    assert by["phantom, 25% dose", "ctdenoise"]["TTF50 retained"] == "100%"
    assert 20 < number(phantom["TTF50 retained"]) < 100
