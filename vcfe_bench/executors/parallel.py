"""Parallel computation in threads of this process, each item on a single thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

Work = TypeVar("Work")
Result = TypeVar("Result")


def execute(work: Callable[[Work], Result], items: Sequence[Work]) -> Iterator[Result]:
    """Results in the order of ``items``, on as many threads as this process has cores.

    Each item is computed with one thread of torch and one of numpy, so that results do not depend on the number of
    cores. Items that have not started are dropped when one fails or the caller stops iterating.
    """
    before = torch.get_num_threads()
    one_each = ThreadPoolExecutor(_cores(), initializer=torch.set_num_threads, initargs=(1,))
    with threadpool_limits(1, user_api="blas"), one_each as pool:
        try:
            yield from pool.map(work, items)
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(before)


def _cores() -> int:
    """The number of cores that this process may use, where the system reports it; otherwise of all cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
