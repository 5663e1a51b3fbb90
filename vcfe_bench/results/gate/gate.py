"""Whether a run holds what a baseline promised, metric by metric and method by method.

Only what is better one way by its card is judged. Where both sides have records, a mean has moved if the 95 % interval
of the paired differences leaves out zero, and by more than the tolerance if there is one. Anything else has moved if it
left the tolerance, or without one the baseline's own interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.results.gate.baseline import Result
from vcfe_bench.stats import significance

Verdict = Literal["worse", "lost", "incomparable", "better", "noise", "same", "new", "note"]
FAILING = ("worse", "lost", "incomparable")
QUESTION = ("dataset", "split", "limit", "goals", "seed", "target", "generator")
"""Entries of the configuration in which run and baseline have to agree."""
COUNTS = ("failed", "skipped")
DRIVERS = 3
"""How many videos are named."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``method`` or ``metric`` are empty where it is about all."""

    verdict: Verdict
    method: str
    metric: str
    text: str

    @property
    def failing(self) -> bool:
        return self.verdict in FAILING

    def __str__(self) -> str:
        return " ".join(filter(None, (self.method, self.metric))) + ": " * bool(self.method or self.metric) + self.text


def check(run: Result, against: Result, tolerance: Mapping[str, float]) -> list[Finding]:
    """Everything that moved, is missing, is new, or stayed; ``tolerance`` is in a metric's unit, by its name.

    Raises:
        UsageError: run and baseline asked different questions, or a tolerance is for a metric that is not judged.
    """
    _same_question(run, against)
    judged = [name for name, card in against.metrics.items() if card["level"] and card["direction"]]
    for name in tolerance:
        if name not in judged:
            raise UsageError(f"the baseline has no metric '{name}' that is judged; {nearest(name, judged)}")
    return list(_findings(run, against, judged, tolerance))


def _same_question(run: Result, against: Result) -> None:
    sides = [result.about["configuration"] for result in (against, run)]
    for key in QUESTION:
        old, new = (side[key]["spec"] if isinstance(side[key], dict) else side[key] for side in sides)
        if old != new:
            raise UsageError(f"the baseline is of {key} {old}, the run of {new}: they cannot be compared")


def _findings(run: Result, against: Result, judged: list[str], tolerance: Mapping[str, float]) -> Iterator[Finding]:
    yield from _weights(run, against)
    comparable = []
    for name in judged:
        trouble = _incomparable(against.metrics[name], run.metrics.get(name))
        if trouble is None:
            comparable.append(against.metrics[name])
        elif trouble:
            yield Finding("incomparable", "", name, trouble)
    for name, card in run.metrics.items():
        if name not in against.metrics and not card["unavailable"]:
            yield Finding("new", "", name, "is not in the baseline")
    before, after = (result.frame.set_index("method") for result in (against, run))
    for method in before.index:
        if method not in after.index:
            yield Finding("lost", method, "", "is not in the run")
            continue
        for name in COUNTS:
            yield _count(method, name, int(before.loc[method, name]), int(after.loc[method, name]))
        for card in comparable:
            rows = before.loc[method], after.loc[method]
            yield from _gaps(method, card, *rows)
            yield _cell(method, card, *rows, _change(against, run, method, card), tolerance.get(card["name"]))
    for method in after.index.difference(before.index, sort=False):
        yield Finding("new", str(method), "", "is not in the baseline")


def _weights(run: Result, against: Result) -> Iterator[Finding]:
    sides = [result.about["configuration"] for result in (against, run)]
    for key in ("target", "generator"):
        if sides[0][key] != sides[1][key]:
            yield Finding("note", "", "", f"the weights of {key} {sides[1][key]['spec']} are not those of the baseline")


def _incomparable(old: Mapping[str, Any], new: Mapping[str, Any] | None) -> str | None:
    """Why the values of a metric cannot be compared; None if they can, empty where the baseline has none."""
    if old["unavailable"]:
        return ""
    if new is None:
        return "is in the baseline, but was not computed"
    if new["unavailable"]:
        return f"is in the baseline, but is empty now: {new['unavailable']}"
    for field, word in (("version", "version"), ("network", "feature network")):
        if old.get(field) != new.get(field):
            return f"has {word} {new.get(field)}, in the baseline {old.get(field)}"
    return None


def _count(method: str, name: str, old: int, new: int) -> Finding:
    verdict: Verdict = "same" if old == new else "worse" if new > old else "better"
    return Finding(verdict, method, name, f"{old} → {new} videos")


def _gaps(method: str, card: Mapping[str, Any], before: pd.Series, after: pd.Series) -> Iterator[Finding]:
    """A metric that has no value for more of the videos than before."""
    if card["level"] != "set":
        old, new = (int(row["n"] - row[f"{card['name']}_n"]) for row in (before, after))
        if new > old:
            yield Finding("lost", method, card["name"], f"has no value for {new} videos, before for {old}")


def _change(against: Result, run: Result, method: str, card: Mapping[str, Any]) -> tuple[pd.Series, pd.Series] | None:
    """A metric's values before and after by question, where both sides have some of the same."""
    if card["level"] != "sample" or against.records is None or run.records is None:
        return None
    sides = [
        significance.answers(records[records["method"] == method], card["name"])
        for records in (against.records, run.records)
    ]
    return (sides[0], sides[1]) if len(sides[0].index.intersection(sides[1].index)) else None


def _cell(
    method: str,
    card: Mapping[str, Any],
    before: pd.Series,
    after: pd.Series,
    answers: tuple[pd.Series, pd.Series] | None,
    tolerance: float | None,
) -> Finding:
    name, sign = card["name"], 1 if card["direction"] == "higher" else -1
    old, new = float(before[name]), float(after[name])
    if math.isnan(old):
        return Finding("same" if math.isnan(new) else "new", method, name, f"{_text(old)} → {_text(new)}")
    if math.isnan(new):
        return Finding("lost", method, name, f"{_text(old)} → none")
    moved = f"{_text(old)} → {_text(new)} ({new - old:+.4g})"
    if answers is not None:
        return _paired(method, name, sign, *answers, moved, tolerance or 0.0)
    if old == new:
        return Finding("same", method, name, moved)
    low, high = float(before[f"{name}_low"]), float(before[f"{name}_high"])
    room = high - old if new > old else old - low
    allowed = tolerance if tolerance is not None else 0.0 if math.isnan(room) else room
    what = "the tolerance" if tolerance is not None else "the baseline's interval to that side"
    if abs(new - old) <= allowed * (1 + 1e-9):
        return Finding("noise", method, name, f"{moved}, within {what} of {_text(allowed)}")
    verdict: Verdict = "worse" if sign * (new - old) < 0 else "better"
    return Finding(verdict, method, name, f"{moved}, beyond {what} of {_text(allowed)}")


def _paired(
    method: str, name: str, sign: int, before: pd.Series, after: pd.Series, moved: str, tolerance: float
) -> Finding:
    found = significance.paired(after, before, seeds.derive(method, name))
    change = (after - before).dropna()
    if not change.any():
        return Finding("same", method, name, moved)
    interval = f"[{found.low:+.4g}, {found.high:+.4g}] over {found.clusters} shared videos"
    low, high = (found.value, found.value) if math.isnan(found.low) else (found.low, found.high)
    sure = low > 0 or high < 0
    if not sure or abs(found.value) <= tolerance * (1 + 1e-9):
        verdict: Verdict = "noise"
        where = "within noise" if not sure else f"within the tolerance of {_text(tolerance)}"
    else:
        verdict, where = ("worse" if sign * found.value < 0 else "better"), "beyond noise"
    videos = change[change != 0].groupby("sample", sort=False).sum().sort_values(ascending=found.value < 0)
    drivers = ", ".join(f"{video} ({value:+.4g})" for video, value in videos.head(DRIVERS).items())
    return Finding(verdict, method, name, f"{moved}, {where}: paired difference in {interval}; most in {drivers}")


def _text(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.4g}"
