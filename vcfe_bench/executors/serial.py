"""One micro-batch after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

Work = TypeVar("Work")
Result = TypeVar("Result")


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use exactly ``count`` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def execute(work: Callable[[Work], Result], items: Iterable[Work], thread_count: int) -> Iterator[Result]:
    """Results in the order of ``items``, each computed with ``thread_count`` torch threads when it is asked for."""
    for item in items:
        with threads(thread_count):
            result = work(item)
        yield result
