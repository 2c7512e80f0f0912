"""Division of a plan into parts."""

from __future__ import annotations

import random

import pytest

from ctdenoise.cohort.parts import Part
from ctdenoise.cohort.plan import PlanEntry
from ctdenoise.errors import InputError


def entries(count: int) -> list[PlanEntry]:
    rng = random.Random(0)
    return [PlanEntry(f"{number:016x}", rng.randint(1, 800), "/in", number) for number in range(count)]


@pytest.mark.parametrize("parts", [1, 3, 40])
def test_parts_hold_each_series_once_and_equal_numbers_of_slices(parts):
    plan = entries(1000)
    divided = [Part(number, parts).of(plan) for number in range(1, parts + 1)]
    assert sorted(entry.id for part in divided for entry in part) == sorted(entry.id for entry in plan)
    slices = [sum(entry.slices for entry in part) for part in divided]
    assert max(slices) - min(slices) <= max(entry.slices for entry in plan)
    assert max(slices) <= 1.01 * sum(slices) / parts


def test_the_order_of_the_plan_does_not_matter():
    plan = entries(50)
    assert Part(2, 3).of(plan) == Part(2, 3).of(plan[::-1])


def test_auto_is_the_task_of_a_slurm_array():
    def slurm(task: int, **others: int) -> dict[str, str]:
        return {f"SLURM_ARRAY_TASK_{key}": str(value) for key, value in {"ID": task, **others}.items()}

    assert Part.parse("auto", slurm(7, MIN=1, COUNT=40)) == Part(7, 40)
    assert Part.parse("auto", slurm(0, MIN=0, COUNT=40)) == Part(1, 40)
    assert Part.parse("auto", slurm(9, MIN=1, COUNT=5, STEP=4)) == Part(3, 5)
    with pytest.raises(InputError, match="expected a task of a Slurm array"):
        Part.parse("auto", {})


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "-1/4", "1/0"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(InputError, match="expected K/N"):
        Part.parse(text)
