"""The leaderboard of one run."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from tests.harness.toys import run
from vcfe_bench.core.text import number
from vcfe_bench.results import leaderboard
from vcfe_bench.results.notes import notes
from vcfe_bench.results.writers import terminal
from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.runs.run_directory import RunDirectory


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("board") / "run"
    run(out, "toy_push[rate=5]", "toy_half", "toy_picky", "toy_fragile", "toy_push[label=a-rather-long-label-to-fold]")
    return out


def test_csv_has_a_row_per_method_and_its_columns_in_order(finished: Path) -> None:
    table = pd.read_csv(finished / "leaderboard.csv")
    assert table["method"].tolist()[:2] == ["toy_push[rate=5.0]", "toy_half"]
    assert table["method"].tolist()[-3:] == ["true_edit", "reconstruction", "no_edit"]
    columns = table.columns.tolist()
    assert columns[:6] == ["method", "n", "answered", "failed", "skipped", "declined"]
    assert columns[6:10] == ["toy_FR", "toy_FR_low", "toy_FR_high", "toy_FR_n"]
    assert {"spread(mean)", "spread(mean)_floor", "spread(mean)_floor_n", "missing(net)"} < set(columns)
    assert {"seconds", "calls", "peak_memory_mb"} < set(columns)


def test_means_intervals_and_counts(finished: Path) -> None:
    records = pd.read_parquet(finished / "records.parquet")
    table = pd.read_csv(finished / "leaderboard.csv").set_index("method")
    half = records[records["method"] == "toy_half"]
    assert table.loc["toy_half", "change"] == pytest.approx(half["change"].mean())
    assert table.loc["toy_half", "change_low"] < table.loc["toy_half", "change"] < table.loc["toy_half", "change_high"]
    assert table.loc["toy_half", "change_n"] == half["change"].notna().sum() < len(half)
    counts = table[["n", "answered", "failed", "skipped", "declined"]]
    assert counts.loc["toy_fragile"].tolist() == [8, 7, 1, 0, 0]
    right = int((records[records["method"] == "toy_picky"]["goal"] == "class=2").sum())
    assert counts.loc["toy_picky"].tolist() == [right, 0, 0, right, 8 - right]
    assert table.loc["toy_picky", ["toy_FR", "toy_FR_n"]].tolist() == [0, right], "asked and not answered: no flip"
    assert "wants to go right" in table.loc["toy_picky", "reasons"]
    assert table.loc["no_edit", "toy_FR"] == 0
    assert table.loc["no_edit", "toy_FR_high"] > 0.2, "none of eight does not show that the rate is zero"
    assert table["missing(net)"].isna().all()


def test_records_keep_labels_whole(finished: Path) -> None:
    records = pd.read_parquet(finished / "records.parquet")
    assert records["label"].dtype == "int64"
    assert set(records["label"]) <= {0, 1, 2}


def test_it_reads_well_in_120_columns(finished: Path) -> None:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(terminal.render(leaderboard.load(finished)))
    text = console.export_text()
    assert all(len(line.rstrip()) <= 120 for line in text.splitlines())
    for expected in (
        "toy_FR ↑",
        "change ↓",
        "spread(mean) ↓",
        "floor 0.0",
        "n=",
        "calls",
        "15",
        "missing(net) is not available: net.safetensors is missing",
        "skipped, 5 declined: wants to go right (",
        "change failed on",
        "biased at this n",
        "D(E(x)) 0.",
    ):
        assert expected in text
    assert "missing(net) ↓" not in text, "a metric without values is a note, not a column"


def test_parameters_of_methods_are_shown(finished: Path) -> None:
    """Rich takes text in brackets for markup."""
    text = terminal.write(leaderboard.load(finished))
    assert "toy_push[rate=5.0]" in text
    assert "toy_push[label=a-rather-long-lab" in text


def test_a_table_of_one_run_compares_no_methods(finished: Path) -> None:
    text = terminal.write(leaderboard.load(finished))
    assert "not distinguishable" not in text
    assert "not distinguishable" in terminal.write(leaderboard.join([finished]))


def test_the_same_records_give_the_same_table(finished: Path) -> None:
    before = (finished / "leaderboard.csv").read_bytes()
    leaderboard.write(RunDirectory(finished))
    assert (finished / "leaderboard.csv").read_bytes() == before


def test_the_warning_of_few_videos_names_the_fewest_and_the_rank(finished: Path) -> None:
    board = leaderboard.load(finished)
    (warning,) = (note for note in notes(board) if "biased at this n" in note)
    assert warning.startswith("spread(mean) is biased at this n: 7 videos are fewer than the 50 ")
    enough = replace(board, metrics=tuple(replace(card, min_samples=7) for card in board.metrics))
    assert not any("biased" in note for note in notes(enough))


def test_numbers_have_few_digits() -> None:
    assert [number(x) for x in (0.12345, 12.345, 1234.5, -3.0)] == ["0.123", "12.3", "1,234", "-3.000"]


def test_many_metrics_of_one_criterion_stay_readable_in_80_columns() -> None:
    names = [f"metric{letter}" for letter in "abcdefghi"]
    cards = tuple(ScoredCard(name, name, "sample", criterion="realism", direction="higher") for name in names)
    row: dict = {
        "method": "a-method",
        "n": 8,
        "failed": 0,
        "skipped": 0,
        "declined": 0,
        "calls": 3.0,
        "seconds": 1.0,
        "peak_memory_mb": 1.0,
    }
    for name in names:
        row |= {name: 0.5, f"{name}_low": 0.25, f"{name}_high": 0.75, f"{name}_n": 8}
    frame = pd.DataFrame([{**row, "reasons": ""}])
    console = Console(width=80, record=True, file=StringIO())
    console.print(terminal.render(leaderboard.Leaderboard(frame, cards)))
    text = console.export_text()
    assert all(f"{name} ↑" in text for name in names)
