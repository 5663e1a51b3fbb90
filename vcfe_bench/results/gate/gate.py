"""Comparison of a run with a baseline, metric by metric and method by method.

Only metrics whose card has a direction are judged. Where both sides have records, a mean has moved if the 95 % interval
of the paired differences does not include zero and, where there is a tolerance, the difference is greater. Any other
value has moved if it is outside the tolerance or, without one, outside the baseline's own interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.results.gate.baseline import Result
from vcfe_bench.runs.configuration import Configuration, NetworkIdentity
from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.stats import significance

Verdict = Literal["worse", "lost", "incomparable", "better", "noise", "same", "new", "note"]
FAILING = ("worse", "lost", "incomparable")
QUESTION = ("dataset", "split", "limit", "goals", "seed", "target", "generator")
"""Entries of the configuration in which the run has to agree with the baseline; of networks, the spec."""
COUNTS = ("failed", "skipped")
DRIVERS = 3
"""How many of the videos that changed most are named."""


@dataclass(frozen=True)
class Finding:
    """The verdict on one thing; ``method`` or ``metric`` is empty where it concerns all of them."""

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
    """A verdict on every method and metric, changed or not.

    Args:
        run: the result of the run.
        against: the baseline.
        tolerance: how far a metric may move, in its unit, by its name.

    Raises:
        UsageError: run and baseline are about different questions, or a tolerance is for a metric that is not judged.
    """
    _same_question(run, against)
    judged = [name for name, card in against.metrics.items() if card.level and card.direction]
    for name in tolerance:
        if name not in judged:
            raise UsageError(f"the baseline has no metric '{name}' that is judged; {nearest(name, judged)}")
    return list(_findings(run, against, judged, tolerance))


def _same_question(run: Result, against: Result) -> None:
    for key in QUESTION:
        old, new = (_entry(result.about.configuration, key) for result in (against, run))
        if old != new:
            raise UsageError(f"the baseline has {key} {old}, the run {new}: they cannot be compared")


def _entry(configuration: Configuration, key: str) -> object:
    entry = getattr(configuration, key)
    return entry.spec if isinstance(entry, NetworkIdentity) else entry


def _findings(run: Result, against: Result, judged: list[str], tolerance: Mapping[str, float]) -> Iterator[Finding]:
    yield from _weights(run, against)
    comparable = []
    for name in judged:
        card = against.metrics[name]
        reason = _incomparable(card, run.metrics.get(name))
        if reason:
            yield Finding("incomparable", "", name, reason)
        elif not card.unavailable:
            comparable.append(card)
    for name, card in run.metrics.items():
        if name not in against.metrics and not card.unavailable:
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
            yield _cell(method, card, *rows, _change(against, run, method, card), tolerance.get(card.name))
    for method in after.index.difference(before.index, sort=False):
        yield Finding("new", str(method), "", "is not in the baseline")


def _weights(run: Result, against: Result) -> Iterator[Finding]:
    before, after = (result.about.configuration for result in (against, run))
    for key, old, new in (
        ("target", before.target, after.target),
        ("generator", before.generator, after.generator),
    ):
        if new is not None and old != new:
            yield Finding("note", "", "", f"the weights of {key} {new.spec} are not those of the baseline")


def _incomparable(old: ScoredCard, new: ScoredCard | None) -> str:
    """Why the values of a metric in the baseline cannot be compared; empty if they can, or if there are none."""
    if old.unavailable:
        return ""
    if new is None:
        return "is in the baseline, but was not computed"
    if new.unavailable:
        return f"is in the baseline, but is not available now: {new.unavailable}"
    for word, before, after in (
        ("version", old.version, new.version),
        ("feature network", old.network, new.network),
    ):
        if before != after:
            return f"has {word} {after}, in the baseline {before}"
    return ""


def _count(method: str, name: str, old: int, new: int) -> Finding:
    verdict: Verdict = "same" if old == new else "worse" if new > old else "better"
    return Finding(verdict, method, name, f"{old} → {new} videos")


def _gaps(method: str, card: ScoredCard, before: pd.Series, after: pd.Series) -> Iterator[Finding]:
    """Whether a metric has no value for more of the videos than before."""
    if card.level != "set":
        old, new = (int(row["n"] - row[f"{card.name}_n"]) for row in (before, after))
        if new > old:
            yield Finding("lost", method, card.name, f"has no value for {new} videos, in the baseline for {old}")


def _change(against: Result, run: Result, method: str, card: ScoredCard) -> tuple[pd.Series, pd.Series] | None:
    """The values of a metric by question in both, if they share any questions."""
    if card.level != "sample" or against.records is None or run.records is None:
        return None
    sides = [
        significance.answers(records[records["method"] == method], card.name)
        for records in (against.records, run.records)
    ]
    return (sides[0], sides[1]) if len(sides[0].index.intersection(sides[1].index)) else None


def _cell(
    method: str,
    card: ScoredCard,
    before: pd.Series,
    after: pd.Series,
    answers: tuple[pd.Series, pd.Series] | None,
    tolerance: float | None,
) -> Finding:
    name, sign = card.name, 1 if card.direction == "higher" else -1
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
    margin = high - old if new > old else old - low
    allowed = tolerance if tolerance is not None else 0.0 if math.isnan(margin) else margin
    bound = "the tolerance" if tolerance is not None else "the baseline's interval to that side"
    if abs(new - old) <= allowed * (1 + 1e-9):
        return Finding("noise", method, name, f"{moved}, within {bound} of {_text(allowed)}")
    verdict: Verdict = "worse" if sign * (new - old) < 0 else "better"
    return Finding(verdict, method, name, f"{moved}, beyond {bound} of {_text(allowed)}")


def _paired(
    method: str, name: str, sign: int, before: pd.Series, after: pd.Series, moved: str, tolerance: float
) -> Finding:
    difference = significance.paired(after, before)
    change = (after - before).dropna()
    if not change.any():
        return Finding("same", method, name, moved)
    interval = f"[{difference.low:+.4g}, {difference.high:+.4g}] over {difference.clusters} shared videos"
    value = difference.value
    low, high = (value, value) if math.isnan(difference.low) else (difference.low, difference.high)
    significant = low > 0 or high < 0
    if not significant or abs(value) <= tolerance * (1 + 1e-9):
        verdict: Verdict = "noise"
        where = "within noise" if not significant else f"within the tolerance of {_text(tolerance)}"
    else:
        verdict, where = ("worse" if sign * value < 0 else "better"), "beyond noise"
    videos = change[change != 0].groupby("sample", sort=False).sum().sort_values(ascending=value < 0)
    drivers = ", ".join(f"{video} ({moved_by:+.4g})" for video, moved_by in videos.head(DRIVERS).items())
    return Finding(verdict, method, name, f"{moved}, {where}: paired difference in {interval}; largest in {drivers}")


def _text(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.4g}"
