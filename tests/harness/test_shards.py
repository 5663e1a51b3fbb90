"""Parts of a run that are made apart and joined: the same as the run in one piece."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.test_resume import assert_same
from tests.harness.toys import METRICS, ask, planned
from vcfe_bench.core.errors import UsageError
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.records import Record
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.shards import Shard
from vcfe_bench.workflows import run as workflow
from vcfe_bench.workflows.merge import merge

METHODS = ("toy_push", "toy_half", "toy_picky", "toy_fragile")


class Impatient(Observer):
    """Interrupts after a number of results."""

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def finished(self, records: Sequence[Record]) -> None:
        self.patience -= len(records)
        if self.patience <= 0:
            raise KeyboardInterrupt

    def scored(self, done: int, total: int, what: str) -> None:
        if done >= self.patience:
            raise KeyboardInterrupt


def run(out: Path, shard: str | None = None, limit: int = 8, observer: Observer | None = None, **rest: object) -> Path:
    request = ask(*METHODS, limit=limit, **rest)
    return workflow.run(request, out, METRICS, observer, shard=None if shard is None else Shard.parse(shard))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("parts")
    return [run(folder / f"part-{index}", f"{index}/3") for index in (1, 2, 3)]


def test_three_shards_joined_are_the_whole_run(whole: Path, parts: list[Path], tmp_path: Path) -> None:
    merge(parts[::-1], tmp_path / "joined")
    assert_same(whole, tmp_path / "joined")
    boards = [pd.read_csv(out / "leaderboard.csv") for out in (whole, tmp_path / "joined")]
    measured = ["seconds", "peak_memory_mb"]
    pd.testing.assert_frame_equal(*(board.drop(columns=measured, errors="ignore") for board in boards))
    cards = [json.loads((out / "metrics.json").read_text()) for out in (whole, tmp_path / "joined")]
    assert cards[0] == cards[1]
    records = RunDirectory(tmp_path / "joined").entries(Record)
    merge(parts, tmp_path / "joined")
    assert repr(RunDirectory(tmp_path / "joined").entries(Record)) == repr(records), "nothing is joined twice"


def test_a_joined_run_can_be_continued(parts: list[Path], tmp_path: Path) -> None:
    merge(parts, tmp_path / "joined")
    run(tmp_path / "joined", limit=9)
    assert_same(run(tmp_path / "whole", limit=9), tmp_path / "joined")


def test_an_interrupted_merge_resumes(whole: Path, parts: list[Path], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        merge(parts, tmp_path / "joined", Impatient(20))
    merge(parts, tmp_path / "joined")
    assert_same(whole, tmp_path / "joined")


def test_what_is_no_set_of_all_shards_is_refused(whole: Path, parts: list[Path], tmp_path: Path) -> None:
    def refused(*paths: Path) -> str:
        with pytest.raises(UsageError) as error:
            merge(paths, tmp_path / "joined")
        assert not (tmp_path / "joined").exists()
        return str(error.value)

    assert refused(*parts[:2]) == "the shards 3/3 are missing"
    assert "are both shard 1/3" in refused(parts[0], parts[1], parts[0])
    assert "is not a shard" in refused(whole, *parts)
    other = run(tmp_path / "other", "1/3", seed=1)
    assert "seed" in refused(other, *parts[1:])
    longer = run(tmp_path / "longer", "1/3", limit=9)
    assert "limit" in refused(longer, *parts[1:])
    halves = run(tmp_path / "half", "1/2")
    assert "different plans" in refused(halves, *parts[1:])
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", "1/3", observer=Impatient(3))
    assert "is unfinished" in refused(tmp_path / "cut", *parts[1:])


def test_a_directory_holds_one_shard(whole: Path, parts: list[Path]) -> None:
    with pytest.raises(UsageError, match="holds shard 1/3 of this run, not shard 2/3"):
        run(parts[0], "2/3")
    with pytest.raises(UsageError, match="holds shard 1/3 of this run, not all"):
        run(parts[0])
    with pytest.raises(UsageError, match="holds all shards of this run, not shard 1/3"):
        run(whole, "1/3")


@given(count=st.integers(1, 9), limit=st.integers(1, 14))
@settings(max_examples=8, deadline=None)
def test_shards_share_the_tasks_and_each_method_evenly(count: int, limit: int) -> None:
    _, plan = planned("toy_push", "toy_half", limit=limit)
    shards = [Shard(index, count).of(plan) for index in range(1, count + 1)]
    assert Counter(task.id for shard in shards for task in shard.tasks) == Counter(task.id for task in plan.tasks)
    for method in plan.methods:
        batches = [len({task.batch for task in shard.tasks if task.method == method.spec}) for shard in shards]
        assert max(batches) - min(batches) <= 1
    reversed_plan = type(plan)(plan.tasks[::-1], plan.others, plan.methods)
    assert {task.id for task in Shard(1, count).of(reversed_plan).tasks} == {task.id for task in shards[0].tasks}


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "a/b", "1.0/3"])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(UsageError, match="such as 2/8"):
        Shard.parse(text)
