"""What a run stores is verified when it is read; what is damaged or lost is made again, or refused."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner
from vcfe_toys.metrics import Networks

from tests.harness.toys import MEASURED, ask
from vcfe_bench.cli import app
from vcfe_bench.core.errors import UsageError
from vcfe_bench.report import site
from vcfe_bench.results import curves, leaderboard
from vcfe_bench.runs import lines, sealed, snapshot, tables, verification
from vcfe_bench.runs.files import CannotWrite, DamagedFile
from vcfe_bench.runs.journal_file import JournalFile
from vcfe_bench.runs.lines import Reader
from vcfe_bench.runs.run_directory import JOURNAL, RUN, RunDirectory
from vcfe_bench.workflows import run as runner

METRICS = ("toy_flip", "toy_spread", "toy_networks")
FILES = ("videos/{push}.mkv", "videos/{original}.mkv", "traces/{push}.npz", "artefacts/{half}.npz", "curves/{push}.npz")


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _run(tmp_path_factory.mktemp("intact") / "run")


@pytest.fixture
def copy(intact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(intact, tmp_path / "run"))


def _run(out: Path) -> Path:
    return runner.run(ask("toy_push[steps=2]", "toy_half", limit=2), out, METRICS)


def _contents(run: Path) -> dict[str, object]:
    records = pd.read_parquet(run / "records.parquet").drop(columns=MEASURED)
    files = {
        str(path.relative_to(run)): path.read_bytes()
        for folder in ("videos", "traces", "artefacts", "features", "curves")
        for path in sorted((run / folder).rglob("*"))
        if path.is_file()
    }
    return {
        "records": records.astype(str).to_dict("list"),
        "sets": pd.read_parquet(run / "sets.parquet").to_csv(),
        **files,
    }


def _names(run: Path) -> list[Path]:
    records = pd.read_parquet(run / "records.parquet").set_index("method")
    push, half = records.loc["toy_push[steps=2]"].iloc[0], records.loc["toy_half"].iloc[0]
    named = [name.format(push=push["id"], half=half["id"], original=push["original"]) for name in FILES]
    return [*(run / name for name in named), sorted((run / "features").rglob("*.npz"))[0]]


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    file.write_bytes(content)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


DAMAGES: tuple[Callable[[Path], None], ...] = (_flip, _cut, Path.unlink)


@given(st.integers(0, 7), st.floats(0, 1, exclude_max=True))
@settings(deadline=None, max_examples=150)
def test_a_flipped_bit_never_changes_what_a_journal_says(intact: Path, bit: int, place: float) -> None:
    original = (intact / JOURNAL).read_bytes()
    content = bytearray(original)
    content[int(place * len(content))] ^= 1 << bit
    file = intact.parent / "flipped.jsonl"
    file.write_bytes(content)
    expected, reader = [line.content for line in Reader(intact / JOURNAL)], Reader(file)
    read = [line.content for line in reader]
    assert all(repr(line) == repr(expected[line["line"]]) for line in read)
    assert {line["line"] for line in read} | reader.lost >= set(range(len(expected) - 1))
    assert len(read) < len(expected)


@pytest.mark.parametrize("gone", [0, 3, 7])
def test_a_line_that_is_removed_or_repeated_is_noticed(intact: Path, tmp_path: Path, gone: int) -> None:
    whole = (intact / JOURNAL).read_bytes().splitlines(keepends=True)
    file = tmp_path / JOURNAL
    file.write_bytes(b"".join(whole[:gone] + whole[gone + 1 :]))
    reader = Reader(file)
    assert len(list(reader)) == len(whole) - 1
    assert reader.lost == {gone}
    file.write_bytes(b"".join([*whole[: gone + 1], *whole[gone:]]))
    reader = Reader(file)
    assert [line.number for line in reader] == list(range(len(whole)))
    assert not reader.lost


def test_damaged_files_are_found_and_made_again(intact: Path, copy: Path) -> None:
    expected = _contents(intact)
    for file, damage in zip(_names(copy), (*DAMAGES, *DAMAGES[:2], _flip), strict=True):
        damage(file)
        assert verification.verify(copy) == [f"{file.relative_to(copy)} is missing or damaged"]
        with pytest.warns(UserWarning, match="missing or damaged: made again"):
            _run(copy)
        assert _contents(copy) == expected
        assert verification.verify(copy) == []


def test_damaged_tables_are_made_again(intact: Path, copy: Path) -> None:
    board = leaderboard.load(intact)
    for name in ("records.parquet", "sets.parquet", "metrics.json"):
        for damage in DAMAGES:
            damage(copy / name)
            found = leaderboard.load(copy)
            pd.testing.assert_frame_equal(found.frame, board.frame)
            assert found.metrics == board.metrics
            assert verification.verify(copy) == [f"{name} is missing or damaged"]
            shutil.copyfile(intact / name, copy / name)


def test_a_damaged_configuration_is_taken_from_the_journal(intact: Path, copy: Path) -> None:
    text = (copy / RUN).read_text()
    for damaged in (text.replace('"seed": 0', '"seed": 1'), text[: len(text) // 2]):
        (copy / RUN).write_text(damaged)
        assert RunDirectory(copy).configuration == RunDirectory(intact).configuration
        assert verification.verify(copy) == ["run.json is missing or damaged"]
    with pytest.warns(UserWarning, match=r"run\.json was damaged"):
        _run(copy)
    assert verification.verify(copy) == []


def test_what_shows_or_scores_a_damaged_video_refuses(copy: Path) -> None:
    video, original, *_ = _names(copy)
    for file in (video, original):
        content = file.read_bytes()
        _flip(file)
        with pytest.raises(DamagedFile, match="missing or damaged: run the command that made the run once more"):
            site.write([copy], copy / "report")
        figure = CliRunner().invoke(app, ["figure", str(copy), "--record", video.stem, "--out", str(copy / "f.png")])
        assert isinstance(figure.exception, DamagedFile)
        file.write_bytes(content)


def test_a_file_in_the_place_of_another_is_noticed(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        (tmp_path / name).write_bytes(name.encode())
        sealed.seal(tmp_path / name, name)
    assert sealed.content(tmp_path / "a.npz", "a.npz") == b"a.npz"
    shutil.copyfile(tmp_path / "a.npz", tmp_path / "b.npz")
    with pytest.raises(sealed.Damaged):
        sealed.content(tmp_path / "b.npz", "b.npz", required=False)


def test_damaged_lines_are_refused_by_readers_and_made_again_by_the_run(intact: Path, copy: Path) -> None:
    whole = (copy / JOURNAL).read_bytes().splitlines(keepends=True)
    kinds = [json.loads(line)["kind"] for line in whole]
    lost = [kinds.index(kind) for kind in ("original", "plan", "task", "score", "set")]
    (copy / JOURNAL).write_bytes(
        b"".join(line.replace(b": ", b":  ", 1) if place in lost else line for place, line in enumerate(whole))
    )
    before = (copy / "records.parquet").read_bytes()
    for read in (leaderboard.load, runner.rescore):
        with pytest.raises(UsageError, match=r"5 lines of .* are damaged or lost"):
            read(copy)
    assert (copy / "records.parquet").read_bytes() == before
    assert len(verification.verify(copy)) == 5
    with pytest.warns(UserWarning, match="what they held is made again"):
        _run(copy)
    assert _contents(copy) == _contents(intact)
    assert verification.verify(copy) == []


def test_what_scoring_cannot_make_again_is_refused_by_it(copy: Path) -> None:
    for file in _names(copy)[:4]:
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(DamagedFile, match=f"{file.name} is missing or damaged"):
            runner.rescore(copy, METRICS)
        file.write_bytes(content)


def test_curves_against_calls_are_of_the_verified_table(intact: Path, copy: Path) -> None:
    _flip(copy / "records.parquet")
    found, expected = (curves.records_of([RunDirectory(path)]) for path in (copy, intact))
    pd.testing.assert_frame_equal(found.drop(columns=["before", "after"]), expected.drop(columns=["before", "after"]))


def test_without_its_journal_a_run_is_not_scored_again(copy: Path) -> None:
    before = _contents(copy)
    (copy / JOURNAL).unlink()
    with pytest.raises(UsageError, match=r"journal\.jsonl is missing"):
        runner.rescore(copy)
    assert _contents(copy) == before
    assert not (copy / JOURNAL).exists()


def test_runs_of_earlier_versions_still_open(intact: Path, copy: Path) -> None:
    """Their lines have neither numbers nor checksums, and neither have their files."""
    old = []
    for line in Reader(copy / JOURNAL):
        if line.content["kind"] != "configuration":
            new = ("line", "crc", "time", "files", "curves")
            old.append(json.dumps({key: value for key, value in line.content.items() if key not in new}) + "\n")
    (copy / JOURNAL).write_text("".join(old))
    for file in [
        path
        for folder in ("videos", "traces", "artefacts", "features", "curves")
        for path in (copy / folder).rglob("*.*")
    ]:
        file.write_bytes(file.read_bytes()[: -sealed.LENGTH])
    run = json.loads((copy / RUN).read_text())
    (copy / RUN).write_text(json.dumps({name: run[name] for name in ("configuration", "environment")}))
    (copy / "checksums.json").unlink()
    assert verification.verify(copy) == []
    pd.testing.assert_frame_equal(leaderboard.load(copy).frame, leaderboard.load(intact).frame)
    _run(copy)
    assert RunDirectory(copy).records().keys() == RunDirectory(intact).records().keys()
    _flip(_names(copy)[0])
    assert verification.verify(copy)


def test_a_snapshot_says_what_the_journal_says(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = JournalFile(copy / JOURNAL)
    read.read()
    monkeypatch.setattr(snapshot, "WORTH", 1)
    read.save_snapshot()
    loaded = snapshot.load(copy / JOURNAL)
    assert loaded is not None
    for name in (
        "tasks",
        "originals",
        "latest",
        "set_rows",
        "scored",
        "last_kind",
        "repaired",
        "places",
        "pace",
        "old",
    ):
        assert repr(getattr(loaded[0], name)) == repr(getattr(read.state, name)), name
    assert list(loaded[0].of_plan()) == list(read.state.of_plan())
    runner.rescore(copy, METRICS)
    (copy / JOURNAL).write_bytes((copy / JOURNAL).read_bytes()[:-40])
    assert snapshot.load(copy / JOURNAL) is None, "it is of a longer journal"


def test_a_full_disk_is_one_line_and_costs_nothing(
    intact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.fsync, 0

    def full(number: int) -> Callable[[int], None]:
        def fsync(descriptor: int) -> None:
            nonlocal calls
            calls += 1
            if calls >= number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(descriptor)

        return fsync

    for number in (3, 12, 30):
        calls = 0
        monkeypatch.setattr(os, "fsync", full(number))
        with pytest.raises(CannotWrite, match="No space left on device; make room and run the same command again"):
            _run(tmp_path / "run")
    monkeypatch.setattr(os, "fsync", real)
    assert _contents(_run(tmp_path / "run")) == _contents(intact)


def test_status_and_verify(copy: Path) -> None:
    shown = CliRunner().invoke(app, ["status", str(copy)])
    assert shown.exit_code == 0
    assert [line.split()[:2] for line in shown.stdout.splitlines()[:5]] == [
        ["done", "10"],
        ["failed", "0"],
        ["skipped", "0"],
        ["left", "0"],
        ["scored", "10"],
    ]
    assert CliRunner().invoke(app, ["verify", str(copy)]).exit_code == 0
    _names(copy)[0].unlink()
    shown = CliRunner().invoke(app, ["status", str(copy)])
    assert "damaged  1" in shown.stdout
    found = CliRunner().invoke(app, ["verify", str(copy)])
    assert found.exit_code == 1
    assert _names(copy)[0].name in found.stdout


def test_a_scoring_error_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Networks, case: object) -> float:
        raise RuntimeError("no memory now")

    monkeypatch.setattr(Networks, "score", fails)
    store = RunDirectory(_run(tmp_path / "run"))
    assert len(tables.errors(store)) == 10
    assert store.table("records.parquet")["networks"].isna().all()
    monkeypatch.undo()
    store = RunDirectory(_run(tmp_path / "run"))
    assert tables.errors(store) == {}
    assert store.table("records.parquet")["networks"].notna().all()
    assert all(card.problems is None for card in store.cards())
    lines = len(store.journal)
    assert len(RunDirectory(_run(tmp_path / "run")).journal) == lines, "there is nothing left to do"


def test_tables_are_those_of_the_journal(copy: Path) -> None:
    store = RunDirectory(copy)
    pd.testing.assert_frame_equal(tables.records_table(store), store.table("records.parquet"))
    assert len(store.journal) == len(lines_of(copy))


def lines_of(run: Path) -> list[lines.Line]:
    return list(Reader(run / JOURNAL))
