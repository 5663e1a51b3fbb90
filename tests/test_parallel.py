import threading

import pytest
import torch
from threadpoolctl import threadpool_info

from vcfe_bench.executors import parallel


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_results_keep_their_order_and_have_one_thread_each():
    def work(number: int) -> tuple[int, int, set[int]]:
        return number, torch.get_num_threads(), blas_threads()

    before = torch.get_num_threads(), blas_threads()
    assert list(parallel.execute(work, range(20))) == [(number, 1, {1}) for number in range(20)]
    assert (torch.get_num_threads(), blas_threads()) == before


def test_as_many_at_once_as_there_are_cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    meeting = threading.Barrier(3, timeout=10)
    assert list(parallel.execute(lambda _: meeting.wait() >= 0, range(6))) == [True] * 6


def test_a_failure_is_raised_where_its_result_would_be_and_ends_the_rest():
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise OSError("disk full")
        return number

    before = torch.get_num_threads()
    found = parallel.execute(work, range(10_000))
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(OSError, match="disk full"):
        next(found)
    assert len(begun) < 10_000
    assert torch.get_num_threads() == before
