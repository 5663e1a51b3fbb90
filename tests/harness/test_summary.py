"""The short table that a run ends with."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcfe_bench.core.errors import UsageError
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.results.summary import short, summaries
from vcfe_bench.results.writers import PAGES, csv, github
from vcfe_bench.results.writers.summary import render
from vcfe_bench.runs.records import ScoredCard

NAMES = ("FR", "semantic_FR", "valid_share", "SSIM", "LPIPS(st-alex)", "FID(st-vgg)", "FVD(i3d)")
VALUES = {
    "bttf": (1, 0.875, 0.875, 0.834, 0.401, 2365.2, 944.1, 73.2, 4.99),
    "random_draws": (1, 1, 0.25, 0.84, 0.406, 2201.0, 901.0, 26.6, 1.52),
    "pgd": (1, 0, 0, 0.9712, 0.014, 213.4, 14.4, 1.0, 0.05),
    "true_edit": (1, 1, 1, 0.85, 0.391, 737.0, 140.0, 0, 0.0004),
    "reconstruction": (0, 0, 0, 0.94, 0.149, 1947.0, 850.0, 1.02, 0.24),
    "no_edit": (0, 0, 0, 1, 0, 0, 0, 0, 0),
}
HINT = "report: vcfe-bench report runs/shape_moving-7cd74fbc --open"
AT_80 = """\
shape_moving · m_swin · 8 videos · seed 0                            82 s
method           FR↑ semFR↑ valid↑ SSIM↑ LPIPS*↓ FID*↓ FVD↓ calls s/video
bttf            1.00   0.88   0.88 0.834   0.401 2,365  944    73    4.99
random_draws    1.00   1.00   0.25 0.840   0.406 2,201  901    27    1.52
pgd             1.00   0.00   0.00 0.971   0.014   213   14     1    0.05
─────────────────────────────── references ──────────────────────────────
true_edit       1.00   1.00   1.00 0.850   0.391   737  140     0    0.00
reconstruction  0.00   0.00   0.00 0.940   0.149 1,947  850     1    0.24
no_edit         0.00   0.00   0.00 1.000   0.000     0    0     0    0.00
floor (real vs real, n=8)                        2,028  408
Too few videos for FID and FVD. * small stand-in network, not comparable with
papers. 1 metric not available: --why. All: --full.
report: vcfe-bench report runs/shape_moving-7cd74fbc --open
"""
AT_120 = AT_80.replace(
    "comparable with\npapers. 1 metric not available: --why. All: --full.",
    "comparable with papers. 1 metric not available: --why.\nAll: --full.",
)


def card(name: str, **fields: object) -> ScoredCard:
    of_set = name.startswith("F") and "(" in name
    known = {"level": "set" if of_set else "sample", "min_samples": 2048 if of_set else 1}
    known["unit"] = "rate" if name in NAMES[:3] else ""
    known["direction"] = "lower" if of_set or name.startswith("LPIPS") else "higher"
    return ScoredCard(name, name.lower(), **{**known, **fields})  # type: ignore[arg-type]


def board(**changed: object) -> Leaderboard:
    rows = []
    for method, values in VALUES.items():
        row: dict[str, object] = {"method": method, "n": 8, "answered": 8, "failed": 0, "skipped": 0, "declined": 0}
        for name, value in zip(NAMES, values, strict=False):
            row |= {name: float(value), f"{name}_low": value * 0.9, f"{name}_high": value * 1.1, f"{name}_n": 8}
            if name.startswith("F") and "(" in name:
                row |= {f"{name}_floor": 2028.0 if name[1] == "I" else 408.0, f"{name}_floor_n": 8}
        rows.append({**row, "calls": values[-2], "seconds": values[-1], "peak_memory_mb": 900.0, "reasons": ""})
    metrics = (*map(card, NAMES), card("FID(inception)", unavailable="no weights"))
    return replace(
        Leaderboard(pd.DataFrame(rows), metrics, subject="shape_moving · m_swin · 8 videos · seed 0"),
        **changed,  # type: ignore[arg-type]
    )


def shown(width: int, encoding: str = "utf-8", columns: tuple[str, ...] = (), intervals: bool = False) -> str:
    (summary,) = summaries(board(), columns, intervals, HINT)
    return render(summary, width, encoding, "82 s").plain


@pytest.mark.parametrize(("width", "expected"), [(80, AT_80), (120, AT_120)])
def test_the_main_job_ends_like_this(width: int, expected: str) -> None:
    assert shown(width).splitlines() == expected.splitlines()


@pytest.mark.parametrize("intervals", [False, True])
@settings(deadline=None)
@given(width=st.integers(30, 140))
def test_narrow_terminals_drop_columns_and_never_break_a_number(intervals: bool, width: int) -> None:
    text = shown(width, intervals=intervals)
    lines = [line for line in text.splitlines() if "--open" not in line]
    assert max(map(len, lines)) <= width
    assert "FR↑" in text
    assert " 1.00" in text
    whole = set(re.findall(r"[\d.,]*\d", shown(200, intervals=intervals)))
    assert set(re.findall(r"[\d.,]*\d", text)) <= whole
    hidden = re.search(r"Not shown at this width: ([^.]*)", text.replace("\n", " "))
    for name in hidden[1].split(", ") if hidden else ():
        assert f"{name}↑" not in text
        assert f"{name}↓" not in text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437"])
def test_every_encoding_can_show_it(encoding: str) -> None:
    text = shown(80, encoding)
    text.encode(encoding)
    assert "?" not in text
    assert "Lower is better: LPIPS, FID, FVD." in text
    assert "2,365" in text


def test_columns_are_chosen_by_name_or_family_in_any_case() -> None:
    assert shown(80, columns=("fvd", "Lpips_ST_alex", "CALLS".lower())).splitlines()[1].split() == [
        *("method", "FVD(i3d)↓", "LPIPS(st-alex)*↓", "calls")
    ]
    paper = shown(120, columns=("paper",)).splitlines()[1]
    assert [name in paper for name in ("FR↑", "SSIM↑", "LPIPS", "FID", "FVD", "semantic")] == [True] * 5 + [False]
    with pytest.raises(UsageError, match=r"there is no column 'fliprate'"):
        shown(80, columns=("fliprate",))


def test_regression_shows_error_and_missing_answers_show_n() -> None:
    complete = board()
    frame = complete.frame.assign(MAE=3.5, R2=-0.25)
    frame.loc[0, ["answered", "failed", "reasons"]] = [6, 2, "RuntimeError: [out] of memory (2×)"]
    metrics = (*complete.metrics, card("MAE", direction="lower"), card("R2"))
    (summary,) = summaries(replace(complete, frame=frame, metrics=metrics))
    text = render(summary, 120).plain
    assert text.splitlines()[1].split()[:5] == ["method", "n", "FR↑", "MAE↓", "R²↑"]
    assert "6/8" in text
    assert "bttf: 2 failed: RuntimeError: [out] of memory (2×)" in text, "brackets are no markup"


def test_metrics_of_plug_ins_are_shown_where_the_usual_ones_are_missing() -> None:
    frame = pd.DataFrame([{"method": "mine", "n": 3, "answered": 3, "zeal": 0.5, "calls": math.nan, "seconds": 1.0}])
    (summary,) = summaries(Leaderboard(frame.assign(reasons=""), (card("zeal"),)))
    assert render(summary, 80).plain.splitlines()[1].split() == ["method", "zeal↑", "calls", "s/video"]


def test_rates_are_not_rounded_to_all_or_nothing() -> None:
    rate = card("FR")
    assert [short(value, rate) for value in (1.0, 0.9994, 0.875, 0.0004, 0.0)] == [
        *("1.00", "0.9994", "0.88", "0.0004", "0.00")
    ]


def test_the_summary_heads_csv_markdown_and_the_step_summary() -> None:
    made = board()
    head = csv.write(made).splitlines()[0].split(",")
    assert head[: 4 + len(NAMES)] == ["method", "n", *NAMES, "calls", "seconds"]
    assert len(head) == len(made.frame.columns)
    (summary,) = summaries(made)
    page = PAGES["md"]([summary.grid], summary.notes)
    assert "| bttf | 1.00 | 0.88 |" in page
    assert github.write(made).startswith(page)
    assert summary.frame().loc["pgd", "FID*"] == "213"


def test_reference_methods_that_declined_every_video_are_a_note() -> None:
    frame = board().frame.copy()
    gone = frame["method"] == "true_edit"
    frame.loc[gone, ["n", "answered"]] = 0
    frame.loc[gone, "declined"] = 8
    frame.loc[gone, "reasons"] = "the dataset cannot render its scenes with another label (8×)"
    frame.loc[gone, [*NAMES, "calls", "seconds"]] = math.nan
    (summary,) = summaries(board(frame=frame))
    lines = render(summary, 80).plain.splitlines()
    assert not any(line.startswith("true_edit ") for line in lines)
    assert any(line.startswith("true_edit: 8 declined: the dataset cannot render") for line in lines)
    assert "n" not in [column.name for column in summary.columns], "all other rows are over the same videos"
