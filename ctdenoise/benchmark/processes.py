"""Processes with their own memory, in which measurements run, and what is measured in each."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import psutil
from torch import Tensor

from ctdenoise.inference.parallel import results_in_order


@contextmanager
def worker_process(configure: Callable[[], None]) -> Iterator[ProcessPoolExecutor]:
    """Give a process that was configured and runs one call after another."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=configure) as pool:
        yield pool


def in_a_process(configure: Callable[[], None], function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own."""
    with worker_process(configure) as process:
        return process.submit(function, *arguments).result()


def seconds_per_call(run: Callable[[], Tensor], calls: int, threads: int) -> float:
    """Return the mean duration of calls by so many threads; each waits for its result."""
    began = time.perf_counter()
    list(results_in_order(lambda _: run().cpu(), range(calls), threads))
    return (time.perf_counter() - began) / calls


def peak_mb() -> float:
    """Return the largest memory that this process has had."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset / 2**20)
    import resource  # absent on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
