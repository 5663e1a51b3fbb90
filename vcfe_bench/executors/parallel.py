"""Parallel computation in threads of this process, each item on a single thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

Work = TypeVar("Work")
Result = TypeVar("Result")
_THREAD = threading.local()


def execute(work: Callable[[Work], Result], items: Sequence[Work]) -> Iterator[Result]:
    """Results in the order of ``items``, on as many threads as this process has cores.

    Each item is computed with one thread of torch and one of numpy, so that results do not depend on the number of
    cores. Items that have not started are dropped when one fails or the caller stops iterating.
    """
    before = torch.get_num_threads()
    end = threading.Event()
    one_each = ThreadPoolExecutor(_cores(), initializer=_begin, initargs=(end,))
    with threadpool_limits(1, user_api="blas"), one_each as pool:
        try:
            yield from pool.map(work, items)
        finally:
            end.set()
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(before)


def stopped() -> bool:
    """Whether this is a thread of ``execute`` whose result nobody waits for any more."""
    end: threading.Event | None = getattr(_THREAD, "end", None)
    return end is not None and end.is_set()


def _begin(end: threading.Event) -> None:
    torch.set_num_threads(1)
    _THREAD.end = end


def _cores() -> int:
    """The number of cores that this process may use, where the system reports it; otherwise of all cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
