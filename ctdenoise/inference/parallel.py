"""Calls of one function by several threads, with the results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def results_in_order(
    function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int
) -> Generator[_Result, None, None]:
    """Call a function with each item.

    Parameters
    ----------
    function
        Called by any of the threads.
    items
        Taken as needed, at most one for each thread and one more ahead of the results.
    threads
        How many; with 1 the calling thread does it, as CUDA graphs belong to the thread that recorded them.

    Yields
    ------
    object
        What the function returned for each item, in their order. What it raises is raised here; items that wait are
        then left.
    """
    if threads == 1:
        yield from map(function, items)
        return
    pending: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
