"""What a dataset says about its videos is kept with the run and shown below its table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.toys import run
from vcfe_bench.plugins.registry import DATASETS
from vcfe_bench.results import leaderboard
from vcfe_bench.results.notes import notes
from vcfe_bench.runs.journal import DatasetNotes
from vcfe_bench.runs.run_directory import RunDirectory


def test_notes_of_the_dataset_are_below_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = ["toy_lights: 2 of 9 videos of the {split} split are left out: the file is empty (2)"]
    monkeypatch.setattr(
        type(DATASETS.build("toy_lights")), "notes", lambda self, split: tuple(s.format(split=split) for s in said)
    )
    run(tmp_path / "run", "toy_push", limit=2)
    expected = "toy_lights: 2 of 9 videos of the test split are left out: the file is empty (2)"
    for board in (leaderboard.load(tmp_path / "run"), leaderboard.join([tmp_path / "run"])):
        assert notes(board).count(expected) == 1
    run(tmp_path / "run", "toy_push", limit=2)
    assert len(RunDirectory(tmp_path / "run").entries(DatasetNotes)) == 1
    said.clear()
    run(tmp_path / "run", "toy_push", limit=2)
    assert expected not in notes(leaderboard.load(tmp_path / "run"))
