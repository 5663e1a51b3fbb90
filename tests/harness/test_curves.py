"""Success against cost, from the records of one or several runs."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.toys import run
from vcfe_bench.cli import main
from vcfe_bench.results import curves, leaderboard
from vcfe_bench.runs.run_directory import RunDirectory


def records(rows: list[tuple[str, bool, float]], method: str = "m", budget: float = math.inf) -> pd.DataFrame:
    """Records with a status, whether the goal is met, and calls."""
    frame = pd.DataFrame(rows, columns=["status", "met", "calls"])
    return frame.assign(method=method, budget=budget, seconds=1.0)


ROWS = st.lists(
    st.tuples(st.sampled_from(["ok", "failed"]), st.booleans(), st.integers(0, 9).map(float)), min_size=1, max_size=12
)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.floats(0, 12))
def test_a_curve_is_the_share_of_requested_videos_within_the_budget(
    rows: list[tuple[str, bool, float]], budget: float
) -> None:
    found = curves.curves(records([*rows, ("ok", False, 3.0)]), "FR")["m"]
    within = [status == "ok" and met and calls <= budget for status, met, calls in rows]
    assert found.at(budget) == pytest.approx(sum(within) / (len(rows) + 1))
    assert found.n == len(rows) + 1
    assert (np.diff(found.shares) > 0).all()


def test_between_two_budgets_a_method_has_what_it_reached_with_the_lower() -> None:
    low = records([("ok", True, 4.0), ("ok", True, 8.0), ("failed", False, 11.0), ("ok", False, 9.0)], budget=10)
    high = records([("ok", True, 15.0)] * 3 + [("ok", False, 19.0)], budget=20)
    free = records([("ok", True, 5.0)] * 4)
    found = curves.curves(pd.concat([free, high, low], ignore_index=True), "FR")["m"]
    assert [found.at(b) for b in (3.9, 4, 8, 19.9, 20, 1e9)] == [0, 0.25, 0.5, 0.5, 0.75, 0.75]


def test_who_is_drawn() -> None:
    counted = records([("ok", True, 4.0)])
    uncounted = records([("ok", True, math.nan)], "old")
    reference = records([("ok", True, 0.0)], "true_edit")
    declined = records([("ok", True, 4.0), ("skipped", False, math.nan)], "picky")
    declined.loc[1, "seconds"] = math.nan
    together = pd.concat([counted, uncounted, reference, declined], ignore_index=True)
    found = curves.curves(together, "FR")
    assert {method: curve.n for method, curve in found.items()} == {"m": 1, "picky": 1}
    assert curves.curves(together, "minimal_FR") == {}
    assert curves.curves(together.drop(columns="calls"), "FR") == {}


def test_a_table_has_at_least_five_budgets() -> None:
    spread = records([("ok", True, calls) for calls in (10.0, 37.0, 120.0, 999.0)])
    table = curves.table(spread)
    budgets = [float(name) for name in table.columns[3:]]
    assert len(budgets) == curves.LEVELS
    assert budgets == sorted(budgets)
    assert (budgets[0], budgets[-1]) == (10, 1000)
    assert table.loc[0, "10"] == 0.25
    assert table.loc[0, "1000"] == 1
    given_budgets = pd.concat([records([("ok", True, 5.0)], budget=b) for b in (8, 16, 32, 64, 128)])
    assert curves.levels(given_budgets) == [8, 16, 32, 64, 128]


@pytest.fixture(scope="module")
def budgets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("budgets")
    methods = ("toy_push[rate=60,steps=2]", "toy_push[rate=60,steps=4]")
    for budget in (6, 12):
        run(folder / str(budget), *methods, limit=6, budget=budget)
    return [folder / "6", folder / "12"]


def test_runs_with_several_budgets_are_joined_and_have_separate_rows(budgets: list[Path]) -> None:
    (found,) = curves.groups(budgets).values()
    by_method = curves.curves(found, "FR")
    four = by_method["toy_push[rate=60.0,steps=4]"]
    assert four.at(11) == 0, "12 calls are over the budget of 6"
    met = [RunDirectory(path).table("records.parquet").set_index("method")["met"] for path in budgets]
    assert four.at(12) == met[1]["toy_push[rate=60.0,steps=4]"].mean()
    frame = leaderboard.join(budgets).frame.set_index("method")
    assert frame.loc[["toy_push[rate=60.0,steps=2]"], "budget"].tolist() == ["6", "12"]
    assert frame.loc["no_edit", "budget"] == "none"
    assert frame["spread(mean)_reconstruction"].notna().any()


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["vcfe-bench", "curves", *map(str, arguments)])
    main()


@pytest.mark.parametrize("name", ["curves.csv", "curves.md", "curves.svg"])
def test_from_the_command_line(monkeypatch: pytest.MonkeyPatch, budgets: list[Path], tmp_path: Path, name: str) -> None:
    with pytest.raises(SystemExit, match="0"):
        call(monkeypatch, *budgets, "--out", tmp_path / name)
    text = (tmp_path / name).read_text()
    assert "toy_push" in text
    if name == "curves.csv":
        (found,) = curves.groups(budgets).values()
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / name), curves.table(found), check_dtype=False)
    if name == "curves.md":
        assert text.startswith("**FR with at most so many calls per video**\n\n| method | n | ")


@pytest.mark.parametrize(
    ("out", "line"), [("curves.txt", "use one of the suffixes .csv, .md"), ("absent/curves.csv", "cannot write")]
)
def test_bad_files_are_one_clear_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    budgets: list[Path],
    tmp_path: Path,
    out: str,
    line: str,
) -> None:
    with pytest.raises(SystemExit, match="2"):
        call(monkeypatch, *budgets, "--out", tmp_path / out)
    assert line in capsys.readouterr().err
