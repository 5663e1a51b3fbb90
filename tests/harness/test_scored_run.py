"""The tables and the lock of a run that fails or is interrupted, for each workflow."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from vcfe_toys.dataset import Lights

from tests.harness.toys import METRICS, ask
from vcfe_bench.core.errors import UsageError
from vcfe_bench.results import leaderboard
from vcfe_bench.runs.journal import Entry, Scores
from vcfe_bench.runs.progress import Observer
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.video import lossless
from vcfe_bench.workflows import explain, score_external, validate_metrics
from vcfe_bench.workflows import run as runner
from vcfe_bench.workflows.scored_run import scored_run

TABLES = ("records.parquet", "sets.parquet", "metrics.json", "leaderboard.csv")


class InterruptsScoring(Observer):
    """Interrupts when the first video is scored."""

    def scored(self, done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt


class InterruptsGeneration(Observer):
    """Interrupts after the second micro-batch."""

    def __init__(self) -> None:
        self.batches = 0

    def finished(self, records: Any) -> None:
        self.batches += 1
        if self.batches == 2:
            raise KeyboardInterrupt


def assert_tables_and_lock(directory: Path) -> pd.DataFrame:
    """All tables exist, with the records stored so far, and the directory is not locked."""
    assert all((directory / name).exists() for name in TABLES)
    store = RunDirectory(directory)
    store.lock()
    store.close()
    records = store.table("records.parquet")
    assert len(records) == len(store.records()) > 0
    board = leaderboard.load(directory).frame
    assert board["n"].sum() == (records["status"] == "ok").sum()
    return records


@pytest.fixture
def given(tmp_path: Path) -> score_external.Given:
    """One original of the toy dataset, and itself as its counterfactual."""
    for folder in ("originals", "theirs"):
        (tmp_path / folder).mkdir()
        video = Lights().sample("test", 0)
        lossless.write(tmp_path / folder / "a.mkv", lossless.quantise(video.video), video.fps)
    (tmp_path / "goals.csv").write_text("name,goal\na,right")
    return score_external.Given(
        tmp_path / "originals", tmp_path / "theirs", tmp_path / "goals.csv", "toy_lights", "theirs"
    )


@pytest.fixture
def request_(tmp_path: Path) -> explain.ExplainRequest:
    pixels = torch.randint(0, 100, (12, 3, 12, 16), generator=torch.Generator().manual_seed(0))
    pixels[..., 2:6] += 40
    lossless.write(tmp_path / "dusk.mkv", pixels.byte(), 8)
    return explain.ExplainRequest(tmp_path / "dusk.mkv", "toy_conv", "toy_push", to="right", frames=5, size=12)


@pytest.mark.parametrize("observer", [InterruptsGeneration(), InterruptsScoring()])
def test_an_interrupted_run_has_tables(tmp_path: Path, observer: Observer) -> None:
    with pytest.raises(KeyboardInterrupt):
        runner.run(ask(limit=4), tmp_path / "run", METRICS, observer)
    assert_tables_and_lock(tmp_path / "run")


def test_an_interrupted_rescoring_keeps_the_tables(tmp_path: Path) -> None:
    directory = runner.run(ask(limit=4), tmp_path / "run", METRICS)
    before = assert_tables_and_lock(directory)
    for name in TABLES:
        (directory / name).unlink()
    with pytest.raises(KeyboardInterrupt):
        runner.rescore(directory, METRICS, InterruptsScoring())
    pd.testing.assert_frame_equal(assert_tables_and_lock(directory), before)


def test_interrupted_scoring_of_given_videos_has_tables(given: score_external.Given, tmp_path: Path) -> None:
    class Interrupts(Observer):
        def scored(self, done: int, total: int, what: str) -> None:
            if "originals" not in what:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_external.score(given, tmp_path / "run", METRICS, Interrupts())
    assert_tables_and_lock(tmp_path / "run")


def test_an_interrupted_explanation_has_tables(request_: explain.ExplainRequest, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        explain.Prepared(request_).run(tmp_path / "run", InterruptsScoring())
    assert_tables_and_lock(tmp_path / "run")


def test_an_interrupted_validation_has_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def kept() -> Iterator[str]:
        yield str(tmp_path)

    monkeypatch.setattr(validate_metrics, "TemporaryDirectory", kept)
    with pytest.raises(KeyboardInterrupt):
        validate_metrics.validate("toy_lights", 2, InterruptsGeneration())
    assert_tables_and_lock(tmp_path / "run")


def fail_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: RunDirectory, *arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunDirectory, "put_table", full)


def test_the_first_error_is_the_one_that_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = runner.run(ask(limit=2), tmp_path / "run", METRICS)
    (next((directory / "videos").glob("original-*"))).unlink()
    video = next(path for path in (directory / "videos").iterdir() if not path.name.startswith("original"))
    video.unlink()
    fail_to_write(monkeypatch)
    with pytest.raises(UsageError, match="is missing or damaged") as caught:
        runner.rescore(directory, METRICS)
    (note,) = caught.value.__notes__
    assert note == f"The tables in {directory} were not written: OSError: [Errno 28] No space left on device"


def test_a_full_disk_is_reported_and_tables_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append = RunDirectory.append

    def full(self: RunDirectory, entry: Entry) -> None:
        if isinstance(entry, Scores):
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, entry)

    monkeypatch.setattr(RunDirectory, "append", full)
    with pytest.raises(OSError, match="No space left"):
        runner.run(ask(limit=2), tmp_path / "run", METRICS)
    monkeypatch.undo()
    assert_tables_and_lock(tmp_path / "run")


def test_a_failure_of_the_tables_alone_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_to_write(monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        runner.run(ask(limit=2), tmp_path / "run", METRICS)


def test_the_session_has_the_threads_of_every_run(tmp_path: Path) -> None:
    directory = runner.run(ask(limit=2), tmp_path / "run", METRICS)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with scored_run(directory) as store:
            assert torch.get_num_threads() == store.configuration.threads == 1
            with pytest.raises(UsageError, match="in use by another process"):
                RunDirectory(directory).lock()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
