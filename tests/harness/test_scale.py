"""A run of 20,000 records: what is read says what was written, and nothing grows with the number of records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import scale
from vcfe_bench.results import leaderboard
from vcfe_bench.runs import snapshot, tables
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.workflows.scored_run import write_tables

VIDEOS = 2500
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "WORTH", 1_000_000)
        store = scale.write(tmp_path_factory.mktemp("scale") / "run", VIDEOS, durable=False)
        write_tables(store)
        store.close()
    return store.path


def test_a_resume_knows_what_is_done_from_the_snapshot(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (run / snapshot.NAME).exists()
    fast = RunDirectory(run).journal.state
    monkeypatch.setattr(snapshot, "load", lambda journal: None)
    slow = RunDirectory(run).journal.state
    assert fast.tasks == slow.tasks
    assert fast.originals == slow.originals
    assert len(list(fast.of_plan())) == VIDEOS * len(scale.METHODS)
    assert all(task.final and len(task.versions) == len(scale.CARDS) for task in fast.tasks.values())


def test_the_leaderboard_has_the_means_of_what_was_written(run: Path) -> None:
    frame = leaderboard.load(run).frame.set_index("method")
    for place, method in enumerate(scale.METHODS):
        numbers = range(place * VIDEOS, (place + 1) * VIDEOS)
        written = pd.DataFrame([scale.values(number * 2) for number in numbers])
        found = frame.loc[method, list(written)].to_numpy(float)
        np.testing.assert_allclose(found, written.mean().to_numpy(), rtol=1e-12)
    assert (frame["n"] == VIDEOS).all()


def test_the_table_is_made_again_from_the_journal(run: Path) -> None:
    store = RunDirectory(run)
    pd.testing.assert_frame_equal(tables.records_table(store), store.table("records.parquet"))


def test_memory_does_not_grow_with_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    assert scale.grown(tmp_path / "run", 5000) < 500, "50 MB for 100,000 records"
