"""Several pieces of work at once, in threads of this process: none of them computes in more than one."""

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

    Each is computed with one thread of torch and one of numpy, so its bits do not depend on their number. What was not
    begun is dropped when a piece of work fails or the caller stops asking.
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
    """The cores that this process may use, where the system tells; else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
