"""Results of reference methods, reused by other runs."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from tests.harness.toys import run
from vcfe_bench.core import weights
from vcfe_bench.plugins.registry import METHODS
from vcfe_bench.runs import reference_cache
from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.runs.journal import Reused
from vcfe_bench.runs.run_directory import RunDirectory


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: object) -> None:
        raise AssertionError("computed again")

    for name in REFERENCES:
        monkeypatch.setattr(METHODS.load(name), "run", run)


def test_another_directory_takes_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(tmp_path / "first", "toy_half", limit=3)
    forbid(monkeypatch)
    second = run(tmp_path / "second", "toy_push", limit=3)
    rows, again = (table[table["method"].isin(REFERENCES)].reset_index(drop=True) for table in (first, second))
    assert (rows["status"] == "ok").all()
    shared = [name for name in rows if name in again and not name.startswith(("forwards", "backwards"))]
    pd.testing.assert_frame_equal(rows[shared], again[shared])
    for id in rows["id"]:
        assert (tmp_path / f"first/videos/{id}.mkv").read_bytes() == (tmp_path / f"second/videos/{id}.mkv").read_bytes()
    (reused,) = RunDirectory(tmp_path / "second").entries(Reused)
    assert set(reused.tasks) == set(rows["id"])
    assert RunDirectory(tmp_path / "first").entries(Reused) == []


def test_a_damaged_entry_is_computed_again(tmp_path: Path) -> None:
    first = run(tmp_path / "first", "toy_half", limit=1)
    cached = sorted((weights.cache() / "references").glob("*"))
    assert len(cached) == 6
    videos, entries = [file for file in cached if file.suffix == ".mkv"], [f for f in cached if f.suffix == ".json"]
    videos[0].write_bytes(videos[1].read_bytes() if videos[1].read_bytes() != videos[0].read_bytes() else b"")
    entries[1].write_text("{")
    videos[2].unlink()
    second = run(tmp_path / "second", "toy_half", limit=1)
    assert RunDirectory(tmp_path / "second").entries(Reused) == []
    assert first["video_sha256"].tolist() == second["video_sha256"].tolist()
    run(tmp_path / "third", "toy_half", limit=1)
    (reused,) = RunDirectory(tmp_path / "third").entries(Reused)
    assert len(reused.tasks) == 3


OTHER_MACHINE = {"versions": {"torch": "1.0"}, "machine": {"cpu": "Z80", "instructions": "8 bit"}}


@pytest.mark.parametrize(
    ("name", "value", "dataset"),
    [
        ("code_identity", lambda cls: "other", "toy_lights"),
        ("environment", lambda: OTHER_MACHINE, "toy_lights"),
        ("LIMIT", reference_cache.LIMIT, "toy_lights[videos=20]"),
    ],
    ids=["code of the dataset", "machine", "dataset"],
)
def test_what_may_change_a_bit_changes_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object, dataset: str
) -> None:
    first = run(tmp_path / "first", "toy_half", limit=1)
    monkeypatch.setattr(reference_cache, name, value)
    second = run(tmp_path / "second", "toy_half", limit=1, dataset=dataset)
    assert first["id"].tolist() == second["id"].tolist()
    assert RunDirectory(tmp_path / "second").entries(Reused) == []


def test_what_was_not_used_for_longest_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "first", "toy_half", limit=2)
    folder = weights.cache() / "references"
    videos = sorted(folder.glob("*.mkv"))
    for age, video in enumerate(videos):
        os.utime(video, (1_000_000 - age, 1_000_000 - age))
    monkeypatch.setattr(reference_cache, "LIMIT", sum(video.stat().st_size for video in videos[:2]))
    run(tmp_path / "second", "toy_half", limit=2, seed=1)
    left = sorted(file.stem for file in folder.iterdir())
    assert len(left) <= 4
    assert all(left.count(name) == 2 for name in left)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VCFE_BENCH_CACHE", str(tmp_path / "file"))
    assert (run(tmp_path / "run", "toy_half", limit=1)["status"] == "ok").all()
