"""Single calls in a worker process that is kept, and replaced where it is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.executors import works
from vcfe_bench.core.errors import UsageError
from vcfe_bench.executors import parallel
from vcfe_bench.executors.interface import Limits, Lost
from vcfe_bench.executors.standby import Standby

LIMITS = Limits(seconds=60)


@pytest.fixture
def standby() -> Iterator[Standby]:
    kept = Standby(works.behave)
    yield kept
    kept.close()


def _children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def test_one_process_serves_all_calls_and_ends_when_it_is_closed(standby: Standby) -> None:
    others = _children()
    assert [standby.do(n, LIMITS) for n in range(5)] == [n**2 for n in range(5)]
    assert len(processes := _children() - others) == 1
    standby.close()
    assert not psutil.wait_procs(processes, timeout=10)[1]
    assert standby.do(3, LIMITS) == 9


@pytest.mark.slow
def test_what_ends_the_process_is_lost_and_the_next_call_is_answered(standby: Standby) -> None:
    for item in ("leave", "crash", "error", "lambda"):
        lost = standby.do(item, LIMITS)
        assert isinstance(lost, Lost)
        assert lost.reason.startswith(works.BROKEN[item])
        assert standby.do(3, LIMITS) == 9


def test_a_call_that_takes_too_long_or_too_much_is_lost(standby: Standby) -> None:
    assert standby.do("hang", Limits(seconds=1)).reason == "not finished after 1 s, the time limit"
    assert standby.do("grow", Limits(memory=3e8)).reason == "out of memory: more than 0.3 GB, the memory limit"


def test_what_a_call_leaves_behind_does_not_cost_the_next_one() -> None:
    standby = Standby(works.die_later)
    try:
        assert [standby.do(item, LIMITS) for item in (0, 1, 2)] == [0, 1, 2]
    finally:
        standby.close()


def test_threads_take_turns(standby: Standby) -> None:
    others = _children()
    assert list(parallel.execute(lambda n: standby.do(n, LIMITS), range(8))) == [n**2 for n in range(8)]
    assert len(_children() - others) == 1


def test_an_interrupt_does_not_wait_for_calls_of_other_threads(standby: Standby) -> None:
    assert standby.do(2, LIMITS) == 4
    called = threading.Event()

    def work(item: Any) -> Any:
        if item == "hang":
            called.set()
        else:
            called.wait(30)
            raise KeyboardInterrupt
        return standby.do(item, LIMITS)

    with pytest.raises(KeyboardInterrupt):
        list(parallel.execute(work, ["interrupt", "hang"]))


def test_work_that_cannot_be_built_is_an_error_of_one_line() -> None:
    with pytest.raises(UsageError, match=r"^no such thing$"):
        Standby(works.Unbuildable(UsageError("no such thing"))).do(1, LIMITS)
