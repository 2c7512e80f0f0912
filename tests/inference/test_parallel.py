from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ctdenoise.inference.parallel import results_in_order


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(threads):
    first_may_end = threading.Event()

    def square(number: int) -> int:
        if threads > 1:  # the first is the last to be done of those that are computed at a time
            if number == 0:
                assert first_may_end.wait(60)
            elif number == threads - 1:
                first_may_end.set()
        return number**2

    assert list(results_in_order(square, range(20), threads)) == [n**2 for n in range(20)]


def test_so_many_threads_call_at_the_same_time():
    meeting = threading.Barrier(3, timeout=60)  # broken unless three calls meet
    assert list(results_in_order(lambda n: meeting.wait() * 0 + n, range(9), 3)) == list(range(9))


def test_one_thread_is_the_calling_one():
    assert set(results_in_order(lambda _: threading.get_ident(), range(3), 1)) == {threading.get_ident()}


@pytest.mark.parametrize(("threads", "ahead"), [(1, 0), (2, 2), (4, 4)])
def test_items_are_taken_as_needed(threads, ahead):
    taken = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = results_in_order(lambda n: n, items(), threads)
    for count in range(1, 6):
        next(results)
        assert len(taken) == count + ahead
    results.close()
    assert len(taken) == 5 + ahead


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_comes_in_the_place_of_its_result_and_ends_the_calls(threads):
    called = []

    def fail_at_three(number: int) -> int:
        called.append(number)
        if number == 3:
            raise ValueError("three")
        return number

    results = results_in_order(fail_at_three, range(100), threads)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert max(called) <= 3 + threads
