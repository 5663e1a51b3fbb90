"""Runs of real plug-ins from request to tables."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from vcfe_toys.methods import Push

from tests.harness.toys import MEASURED, METRICS, ask, planned, run
from vcfe_bench.core.errors import UsageError
from vcfe_bench.executors.serial import threads
from vcfe_bench.interfaces import Context, Explanation, Query
from vcfe_bench.runs.configuration import THREADS
from vcfe_bench.runs.micro_batch import perform
from vcfe_bench.runs.originals import Originals
from vcfe_bench.runs.plan import MicroBatch, make
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import resolve
from vcfe_bench.video import lossless
from vcfe_bench.workflows import run as runner

METHODS = ("toy_push", "toy_half", "toy_picky", "toy_fragile")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "deep" / "finished"
    run(out, *METHODS)
    return out


@pytest.fixture
def records(finished: Path) -> pd.DataFrame:
    return pd.read_parquet(finished / "records.parquet")


def test_every_task_has_one_record(records: pd.DataFrame) -> None:
    assert records["id"].is_unique
    per_method = records["method"].value_counts()
    assert set(per_method.index) == {*METHODS, "true_edit", "reconstruction", "no_edit"}
    assert set(per_method) == {8}
    statuses = Counter(zip(records["method"], records["status"], strict=True))
    assert statuses["toy_push", "ok"] == statuses["no_edit", "ok"] == statuses["toy_picky", "skipped"] == 8
    assert (statuses["toy_fragile", "ok"], statuses["toy_fragile", "failed"]) == (7, 1)


def test_records_give_the_reason(records: pd.DataFrame) -> None:
    assert records[records["status"] == "failed"]["reason"].tolist() == ["ValueError: the light went out"]
    skipped = records[records["status"] == "skipped"]
    assert set(skipped["reason"]) == {"wants to go right", "not before dawn"}
    assert skipped["video"].isna().all()
    assert skipped["change"].isna().all()
    assert (records[records["status"] == "ok"]["reason"] == "").all()


def test_success_is_measured_on_the_stored_pixels(finished: Path, records: pd.DataFrame) -> None:
    setup = resolve(ask(*METHODS))
    store = RunDirectory(finished)
    for row in records[records["status"] == "ok"].itertuples():
        pixels = store.video(row.video)
        assert lossless.content_hash(pixels) == row.video_sha256
        with threads(THREADS), torch.no_grad():
            output = setup.target(lossless.dequantise(pixels)[None])
        assert output[0].tolist() == pytest.approx(row.after)
        assert row.met == (output.argmax() == int(row.goal.removeprefix("class=")))
        assert row.toy_FR == float(row.met)


def test_originals_traces_and_artefacts_are_kept(finished: Path, records: pd.DataFrame) -> None:
    setup, store = resolve(ask()), RunDirectory(finished)
    for index, original in set(zip(records["index"], records["original"], strict=True)):
        assert lossless.dequantise(store.video(original)).equal(setup.dataset.sample("test", index).video)
    for row in records[records["status"] == "ok"].itertuples():
        trace, artefacts = store.arrays("traces", row.id), store.arrays("artefacts", row.id)
        assert (trace is not None) == (row.method == "toy_push")
        assert (artefacts is not None) == (row.method == "toy_half")
        if trace is not None:
            assert trace["loss"].shape == (5,)
            assert trace["loss"][-1] < trace["loss"][0]


def test_costs(records: pd.DataFrame) -> None:
    done = records[records["status"] == "ok"]
    assert (done["seconds"] >= 0).all()
    assert (done["peak_memory_mb"] > 10).all()
    push = done[done["method"] == "toy_push"]
    assert (push[["forwards_target", "backwards_target"]] == 5).all(axis=None)
    assert (push["calls"] == 15).all(), "a backward pass costs two forward passes"
    assert done.loc[done["method"] == "toy_push", "padded"].tolist() == [0] * 6 + [1, 1]


def test_the_configuration_and_environment_are_kept(finished: Path) -> None:
    content = json.loads((finished / "run.json").read_text())
    assert content["configuration"] == resolve(ask(*METHODS)).configuration().write()
    assert {"versions", "machine", "revision"} == set(content["environment"])
    assert content["environment"]["versions"]["torch"] in torch.__version__


def test_the_same_command_again_computes_nothing_twice(finished: Path) -> None:
    class Count(Observer):
        begun: list[str] = []  # noqa: RUF012
        scored_videos = 0
        done = 0

        def planned(self, plan, batches, done) -> None:  # type: ignore[no-untyped-def]
            self.done = done

        def began(self, batch: MicroBatch) -> None:
            self.begun.append(batch.method.spec)

        def scored(self, done: int, total: int, what: str) -> None:
            self.scored_videos += what.startswith("videos scored")

    before = pd.read_parquet(finished / "records.parquet")
    watch = Count()
    runner.run(ask(*METHODS), finished, METRICS, watch)
    assert watch.begun == ["toy_fragile"], "failures, and nothing else, are tried again"
    assert watch.done == 55
    failed = [task for task in RunDirectory(finished).journal.state.tasks.values() if task.failed]
    assert watch.scored_videos == len(failed) > 0, "scoring errors are tried again too"
    after = pd.read_parquet(finished / "records.parquet")
    pd.testing.assert_frame_equal(before.drop(columns=MEASURED), after.drop(columns=MEASURED))


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        ("error", "ValueError: the light went out"),
        ("memory", "out of memory: MemoryError: 1 TB"),
        ("nan", "returned a video with NaN or infinite values"),
        ("shape", "returned a video of shape (4, 3, 12, 12), expected (5, 3, 12, 12)"),
        ("count", "returned 0 explanations for 1 queries"),
    ],
)
def test_failures_are_recorded_and_tried_again(tmp_path: Path, fail: str, reason: str) -> None:
    cure = tmp_path / "cure"
    method = f"toy_fragile[cure={cure},fail={fail}]"
    records = run(tmp_path / "run", method, limit=3)
    failed = records[records["status"] == "failed"]
    assert failed["sample"].tolist() == ["light-1"]
    assert failed["reason"].tolist() == [reason]
    cure.touch()
    records = run(tmp_path / "run", method, limit=3)
    assert (records["status"] == "ok").all()
    assert records["change"].notna().sum() == 8


def test_neighbours_order_and_batches_change_no_bit() -> None:
    setup, plan = planned("toy_push", limit=5, goals="all")
    tasks = [task for task in plan.tasks if task.method == "toy_push"]

    def pixels(batches: list[MicroBatch]) -> dict[str, torch.Tensor]:
        with threads(THREADS):
            outcomes = [outcome for batch in batches for outcome in perform(setup, batch, lambda progress: None)]
        return {outcome.task.id: outcome.pixels for outcome in outcomes if outcome.pixels is not None}

    def own(batches: list[MicroBatch]) -> list[MicroBatch]:
        return [batch for batch in batches if batch.method.spec == "toy_push"]

    straight = pixels(own(plan.batches(set())))
    assert len(straight) == 10
    shuffled = own(plan.batches(set()))
    random.Random(0).shuffle(shuffled)
    alone = [MicroBatch(setup.methods[0], (task,)) for task in random.Random(1).sample(tasks, len(tasks))]
    gaps = own(plan.batches({task.id for task in tasks[::2]})) + own(plan.batches({task.id for task in tasks[1::2]}))
    for other in (pixels(shuffled), pixels(alone), pixels(gaps)):
        assert other.keys() == straight.keys()
        assert all(other[id].equal(straight[id]) for id in straight)


def test_a_longer_run_contains_the_shorter(tmp_path: Path, records: pd.DataFrame) -> None:
    short = run(tmp_path / "short", "toy_push", limit=4).set_index("id")["video_sha256"]
    long = records[records["method"].isin(["toy_push", "true_edit", "reconstruction", "no_edit"])]
    long = long.set_index("id")["video_sha256"]
    assert short.equals(long[short.index])


class Drawing(Push):
    """Notes what it draws from the global generators."""

    draws: ClassVar[list[tuple[float, ...]]] = []

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        self.draws.append((torch.rand(1).item(), np.random.rand(), random.random()))
        return super().run(queries, context)


def test_global_random_generators_are_the_same_for_every_batch() -> None:
    setup, _ = planned("toy_push", limit=6)
    method = Drawing()
    method.spec = "drawing"
    setup = replace(setup, methods=(method,))
    torch.manual_seed(5)
    first = torch.rand(1)
    torch.manual_seed(5)
    for batch in make(setup, Originals(setup, {})).batches(set()):
        perform(setup, batch, lambda progress: None)
    assert len(Drawing.draws) == 2
    assert Drawing.draws[0] == Drawing.draws[1]
    assert torch.rand(1).equal(first)


def test_directories_that_cannot_be_used(tmp_path: Path, finished: Path) -> None:
    with pytest.raises(UsageError, match=r"holds another run .*limit 8, not 3"):
        run(finished, *METHODS, limit=3)
    with pytest.raises(UsageError, match=r"holds another run .*target toy_conv, not toy_conv.version=2"):
        run(finished, *METHODS, target="toy_conv[version=2]")
    with pytest.raises(UsageError, match=r"holds another run .*generator toy_blocks, not none"):
        run(finished, *METHODS, generator="none")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write to"):
        run(tmp_path / "file" / "run")
    with pytest.raises(UsageError, match="cannot write to"):
        run(tmp_path / "file")
    with pytest.raises(UsageError, match="is not empty and not a run"):
        run(tmp_path)


def test_one_writer_at_a_time(finished: Path) -> None:
    store = RunDirectory(finished)
    store.lock()
    try:
        with pytest.raises(UsageError, match="is in use by another process"):
            run(finished, *METHODS)
    finally:
        store.close()


def test_an_interrupted_run_can_be_resumed(tmp_path: Path) -> None:
    class Impatient(Observer):
        def progress(self, batch, progress) -> None:  # type: ignore[no-untyped-def]
            if int(batch.tasks[0].original.sample.removeprefix("light-")) >= 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(ask(), tmp_path / "run", METRICS, Impatient())
    interrupted = pd.read_parquet(tmp_path / "run" / "records.parquet")
    assert 24 < len(interrupted) < 32
    assert (interrupted["status"] == "ok").all()
    assert len(run(tmp_path / "run")) == 32
