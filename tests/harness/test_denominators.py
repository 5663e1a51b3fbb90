"""A video that a method was asked to change and did not counts as 0 in rates; other means are over what exists."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vcfe_bench.results import comparison, leaderboard
from vcfe_bench.results.cells import metric_cell
from vcfe_bench.results.comparison import Section
from vcfe_bench.results.rows import asked, declined
from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.runs.tables import SET_COLUMNS
from vcfe_bench.stats import significance

FR = ScoredCard("FR", "fr", "sample", criterion="validity", direction="higher", unit="rate", unanswered=0.0)
SSIM = ScoredCard("SSIM", "ssim", "sample", criterion="proximity", direction="higher", unit="similarity")
CARDS = (FR, SSIM)


def records(method: str, statuses: list[str], flips: list[float], seconds: list[float] | None = None) -> pd.DataFrame:
    """One record per video; no values where the status is not ``ok``."""
    done = np.array(statuses) == "ok"
    return pd.DataFrame(
        {
            "method": method,
            "sample": [f"video {number}" for number in range(len(statuses))],
            "goal": "class=1",
            "status": statuses,
            "reason": ["" if ok else "returned a video with NaN" for ok in done],
            "seconds": seconds or [1.0] * len(statuses),
            "peak_memory_mb": 1.0,
            "FR": np.where(done, flips, np.nan),
            "SSIM": np.where(done, 0.5, np.nan),
        }
    )


def table(*parts: pd.DataFrame) -> pd.DataFrame:
    order = [part["method"].iloc[0] for part in parts]
    return leaderboard.build(pd.concat(parts), pd.DataFrame(columns=SET_COLUMNS), CARDS, order).set_index("method")


HONEST = records("honest", ["ok"] * 16, [1.0] * 3 + [0.0] * 13)
SILENT = records("silent", ["ok"] * 3 + ["failed"] * 7 + ["skipped"] * 6, [1.0] * 16)


def test_a_method_that_gives_up_where_it_does_not_flip_has_the_rate_of_the_one_that_answers() -> None:
    rows = table(HONEST, SILENT)
    counts = ["FR", "FR_low", "FR_high", "FR_n", "n"]
    assert rows.loc["silent", counts].tolist() == rows.loc["honest", counts].tolist()
    assert rows.loc["silent", "FR"] == 3 / 16
    assert rows.loc["silent", ["answered", "failed", "skipped", "declined"]].tolist() == [3, 7, 6, 0]


def test_a_mean_of_what_exists_says_on_how_many_it_rests() -> None:
    rows = table(HONEST, SILENT)
    assert metric_cell(rows.loc["silent"].rename_axis(None), SSIM).count == "n=3/16"
    assert metric_cell(rows.loc["honest"], SSIM).count == metric_cell(rows.loc["silent"], FR).count == ""


def test_videos_without_an_answer_count_in_the_calls() -> None:
    part = records("gives up", ["ok", "failed", "skipped", "skipped"], [1, 0, 0, 0], [1.0, 9.0, 9.0, float("nan")])
    part["calls"] = [10.0, 40.0, 25.0, 0.0]
    row = table(part).iloc[0]
    assert row["calls"] == 25.0, "over the three videos that were asked"
    assert row["seconds"] == 1.0, "the time of an answer"


def test_what_was_declined_before_the_run_was_not_asked() -> None:
    part = records("tubes", ["skipped"] * 4 + ["ok"] * 2, [1.0] * 6, [np.nan] * 3 + [2.0] * 3)
    assert declined(part).tolist() == [True] * 3 + [False] * 3
    row = table(part).loc["tubes"]
    assert row[["n", "answered", "skipped", "declined"]].tolist() == [3, 2, 1, 3]
    assert row["FR"] == pytest.approx(2 / 3)
    nothing = table(records("tubes", ["skipped"] * 4, [1.0] * 4, [np.nan] * 4)).loc["tubes"]
    assert nothing["n"] == 0
    assert np.isnan(nothing["FR"])


def test_paired_tests_count_it_too() -> None:
    alike = [asked(part, CARDS) for part in (HONEST, SILENT)]
    answers = [significance.answers(part, "FR") for part in alike]
    assert significance.paired(*answers).n == 16
    better = asked(records("better", ["ok"] * 16, [1.0] * 16), CARDS)
    first, second = significance.ranks(["better", "silent"], [better, alike[1]], "FR", "higher")
    assert first.best
    assert first.group != second.group


def test_a_metric_that_is_not_available_has_no_values_for_the_unanswered() -> None:
    card = ScoredCard("FR", "fr", "sample", unanswered=0.0, unavailable="the dataset has no oracle")
    assert asked(SILENT, [card])["FR"].isna().sum() == 13


def test_records_that_are_not_finished_in_an_old_run_count_in_its_flip_rate() -> None:
    old = {"name": "FR", "spec": "fr", "level": "sample", "unit": "rate"}
    assert ScoredCard.read(old).unanswered == 0.0
    assert ScoredCard.read({**old, "name": "SSIM"}).unanswered is None
    assert ScoredCard.read({**old, "name": "survives_blur"}).selected


SURVIVES = ScoredCard("survives", "survives", "sample", "", "validity", "higher", "rate", selected=True)


def flips(method: str, met: list[int], survived: list[int]) -> tuple[str, pd.DataFrame]:
    part = records(method, ["ok"] * 8, [float(number in met) for number in range(8)])
    values = [float(number in survived) if number in met else np.nan for number in range(8)]
    return method, part.assign(met=[number in met for number in range(8)], survives=values)


def test_averages_over_flips_stand_beside_those_over_what_all_methods_flipped() -> None:
    """The first method flips two easy videos, which survive for the second one, too."""
    rows = (
        flips("few", [0, 1], [0, 1]),
        flips("many", list(range(8)), [0, 1]),
        flips("no_edit", [], []),
    )
    section = Section("", (0, 1, 2), rows)
    added = comparison.columns([section], [SURVIVES], every=True)
    assert added["survives_flipped_by_all"].tolist()[:2] == [1.0, 1.0]
    assert added["survives_flipped_by_all_n"].tolist() == [2, 2, 0]
    assert "survives_flipped_by_all" not in comparison.columns([section], [SURVIVES], every=False)
    assert "survives_flipped_by_all" not in comparison.columns([Section("", (0,), rows[:1])], [SURVIVES], every=True)


def test_a_table_says_where_there_are_too_few_videos() -> None:
    rows = tuple(flips(method, list(range(8)), [0, 1]) for method in "abcde")
    section = Section("goals one", tuple(range(5)), rows)
    added = comparison.columns([section], CARDS, every=True)
    assert set(added["FR_group"]) == {"?"}
    (note,) = comparison.notes([section], added, CARDS)
    assert note.startswith("goals one: ?: too few videos to tell 5 methods apart by FR, SSIM.")
    assert note.endswith("it takes 9 videos or more.")
