"""Worker processes: what they return, and what becomes of work that kills, blocks or fills them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from tests.executors import works
from vcfe_bench.core.errors import UsageError
from vcfe_bench.executors.in_process import InProcess
from vcfe_bench.executors.interface import Executor, Lost, Needs
from vcfe_bench.executors.pool import Pool


class Watch:
    def __init__(self) -> None:
        self.begun: list[int] = []
        self.updates: list[tuple[int, Any]] = []

    def began(self, item: int) -> None:
        self.begun.append(item)

    def reported(self, item: int, update: Any) -> None:
        self.updates.append((item, update))


def results(executor: Executor, work: Any, items: Sequence[Any], watch: Watch | None = None) -> dict[int, Any]:
    pairs = list(executor.execute(work, items, [Needs()] * len(items), watch or Watch()))
    assert len({place for place, _ in pairs}) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize("executor", [InProcess(), Pool(), Pool(jobs=3)])
def test_every_executor_has_the_same_results(executor: Executor) -> None:
    watch = Watch()
    assert results(executor, works.behave, range(9), watch) == {n: n**2 for n in range(9)}
    assert sorted(watch.begun) == [*range(9)]
    assert watch.updates[0] == (0, 0)


def test_a_micro_batch_costs_less_than_2_percent_of_the_fastest_diffusion_method() -> None:
    table = pd.read_csv(Path(__file__).parents[2] / "leaderboards" / "shape_moving.csv").set_index("method")
    fastest = float(table.loc[["ldvice", "ldvice_ra", "bttf", "cg_video"], "seconds"].min())
    items = [torch.full((17, 3, 64, 64), n, dtype=torch.uint8) for n in range(30)]
    times = []
    for _, result in Pool().execute(works.echoed, items, [Needs()] * len(items), Watch()):
        assert not isinstance(result, Lost)
        times.append(time.process_time() + result[1])
    assert np.median(np.diff(times)) < 0.02 * fastest


def test_no_items_start_no_worker(tmp_path: Path) -> None:
    assert results(Pool(2), works.Counted(tmp_path), []) == {}
    assert not list(tmp_path.iterdir())


def test_each_worker_builds_the_work_once_and_none_is_left(tmp_path: Path) -> None:
    workers = set(results(Pool(2), works.Counted(tmp_path), range(12)).values())
    assert {path.name for path in tmp_path.iterdir()} >= {str(pid) for pid in workers}
    assert len(list(tmp_path.iterdir())) == 2
    assert not any(psutil.pid_exists(pid) for pid in workers)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_item_that_breaks_its_worker_is_lost_and_no_other(jobs: int) -> None:
    broken = [*works.BROKEN]
    items = [n for pair in zip(broken, range(len(broken)), strict=True) for n in pair]
    found = results(Pool(jobs), works.behave, items)
    for place, item in enumerate(items):
        if item in works.BROKEN:
            assert isinstance(found[place], Lost)
            assert found[place].reason.startswith(works.BROKEN[item])
        else:
            assert found[place] == item**2
    assert "string_at" in found[items.index("crash")].details
    assert "not today" in found[items.index("error")].details


def test_work_that_takes_too_long_is_ended_and_shows_where_it_was() -> None:
    start = time.monotonic()
    found = results(Pool(timeout=1), works.behave, ["hang", 2, "hang deaf", 3])
    assert time.monotonic() - start < 15
    assert (found[1], found[3]) == (4, 9)
    for place in (0, 2):
        assert found[place].reason == "not finished after 1 s, the time limit"
        assert "works.py" in found[place].details


def test_an_item_may_have_a_limit_of_its_own() -> None:
    needs = [Needs(seconds=0.5), Needs(seconds=60)]
    found = dict(Pool().execute(works.behave, ["hang", 3], needs, Watch()))
    assert found[0].reason.startswith("not finished after 0.5 s")
    assert found[1] == 9


def test_a_worker_that_grows_is_ended() -> None:
    found = results(Pool(memory=3e8), works.behave, ["grow", 2])
    assert found[0].reason == "out of memory: more than 0.3 GB, the memory limit"
    assert found[1] == 4


def test_what_an_item_leaves_behind_does_not_cost_the_next_one() -> None:
    assert results(Pool(), works.die_later, [0, 1, 2]) == {0: 0, 1: 1, 2: 2}


def test_threads_forks_and_closed_streams_do_no_harm(capfd: pytest.CaptureFixture[str]) -> None:
    items = ["fork", "thread", "print", "closed", 5]
    start = time.monotonic()
    found = results(Pool(), works.behave, items)
    assert [found[place] for place in range(5)] == ["forked", "left a thread", "", "closed", 25]
    assert time.monotonic() - start < 15
    out, err = capfd.readouterr()
    assert (out, err) == ("", "printed\n")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (UsageError("no such thing"), "no such thing"),
        (ValueError("odd"), "ValueError: odd"),
        (4, "a worker process could not start: the worker process exited with code 4"),
    ],
)
def test_work_that_cannot_be_built_is_an_error_of_one_line(how: Exception | int, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        results(Pool(2), works.Unbuildable(how), [1, 2])


def test_closing_the_iterator_ends_the_workers() -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    running = Pool(2).execute(works.behave, [1, "hang", "hang"], [Needs()] * 3, Watch())
    assert next(running) == (0, 1)
    assert len({process.pid for process in psutil.Process().children(recursive=True)} - before) == 2
    running.close()
    assert {process.pid for process in psutil.Process().children(recursive=True)} == before


def test_workers_end_with_a_parent_that_is_killed() -> None:
    script = (
        "from tests.executors import works, test_pool; from vcfe_bench.executors.pool import Pool; "
        "from vcfe_bench.executors.interface import Needs\n"
        "running = Pool(2).execute(works.behave, [1, 'hang', 'hang'], [Needs()] * 3, test_pool.Watch())\n"
        "print(next(running), flush=True)\n"
        "input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"(0, 1)\n"
    workers = psutil.Process(parent.pid).children(recursive=True)
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    assert not psutil.wait_procs(workers, timeout=10)[1]


def test_a_script_without_a_guard_runs_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "print('started')\n"
        "from tests.executors import works, test_pool\n"
        "from vcfe_bench.executors.pool import Pool\n"
        "print(test_pool.results(Pool(2), works.behave, [1, 2, 3]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=True)
    assert done.stdout.startswith("started\n{")
    assert done.stdout.count("started") == 1
    assert "1: 4" in done.stdout
