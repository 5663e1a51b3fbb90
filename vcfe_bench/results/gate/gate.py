"""Comparison of a run with a baseline: is it worse, method by method, by the metrics that decide?

A table is compared exactly like a run. Where the bits are the same, nothing is tested. All other pairs of a method and
a deciding metric are one family of one-sided exact tests, paired by video (``stats.exchange``), with one error rate of
5 % for the whole comparison (``stats.family``): two results of one truth are told apart in at most one of twenty
comparisons, however many methods and metrics there are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vcfe_bench.core.errors import UsageError, nearest
from vcfe_bench.results.gate import pairs
from vcfe_bench.results.gate.baseline import Result
from vcfe_bench.results.gate.pairs import Pair
from vcfe_bench.runs.configuration import Configuration, NetworkIdentity
from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.stats import family

Verdict = Literal["worse", "lost", "cannot tell", "noise", "same", "informs", "note"]
QUESTION = ("dataset", "split", "limit", "goals", "target", "generator", "budget", "choice")
"""Entries of the configuration in which the run has to agree with the baseline, besides the seeds; of networks, the
spec."""
MISSING = "missing"
"""As a metric: videos with a counterfactual in the baseline and none in the run."""


@dataclass(frozen=True)
class Finding:
    """The verdict on one thing; ``method`` or ``metric`` is empty where it concerns all of them.

    Attributes:
        pair: the values behind the verdict, for deciding metrics.
        p: p value of the test, adjusted for the whole comparison; NaN where nothing was tested.
        failing: whether the comparison fails by this.
    """

    verdict: Verdict
    method: str
    metric: str
    text: str
    failing: bool = False
    pair: Pair | None = None
    p: float = math.nan

    def __str__(self) -> str:
        return " ".join(filter(None, (self.method, self.metric))) + ": " * bool(self.method or self.metric) + self.text


def check(run: Result, against: Result, tolerance: Mapping[str, float], strict: bool = False) -> list[Finding]:
    """A verdict on every method and metric, changed or not.

    Args:
        run: the result of the run.
        against: the baseline.
        tolerance: by name of a deciding metric, how large a loss may be, in its unit; by ``missing``, for how many
            videos of a method counterfactuals or values of a metric may be missing. 0 where it is not named.
        strict: let losses beyond the tolerance fail that the test cannot tell from noise.

    Raises:
        UsageError: run and baseline are about different questions, the run lacks a method or a deciding metric of the
            baseline or has another version of it, features are missing, or a tolerance is for something else.
    """
    _same_question(run, against)
    deciding = against.about.deciding
    for name in tolerance:
        if name not in (*deciding, MISSING):
            raise UsageError(
                f"a tolerance for '{name}' has no effect, it does not decide; {nearest(name, (*deciding, MISSING))}"
            )
    return [
        *_notes(run, against),
        *_missing(run, against, tolerance.get(MISSING, 0.0)),
        *_verdicts(list(_pairs(run, against)), deciding, tolerance, strict),
        *_informing(run, against),
    ]


def _same_question(run: Result, against: Result) -> None:
    before, after = (result.about.configuration.protocol for result in (against, run))
    if before != after:
        raise UsageError(
            f"the baseline was made by protocol {before}, the run by protocol {after}: their numbers mean different "
            "things (docs/upgrading.md); make the older one again, a baseline with --update"
        )
    for key in QUESTION:
        old, new = (_entry(result.about.configuration, key) for result in (against, run))
        known = against.records is not None or key != "choice"  # tables of scheme 1 are older than the choice
        if old != new and known:
            raise UsageError(f"the baseline has {key} {old}, the run {new}: they cannot be compared")
    seeds = [sorted(result.about.seeds) for result in (against, run)]
    if seeds[0] != seeds[1]:
        wanted, given = (", ".join(map(str, each)) for each in seeds)
        raise UsageError(
            f"the baseline has seed {wanted}, the run {given}: they cannot be compared; give one run per seed"
        )
    for method in against.about.methods:
        if method not in run.about.methods:
            raise UsageError(f"the baseline has the method {method}, the run has not: they cannot be compared")


def _entry(configuration: Configuration, key: str) -> object:
    entry = getattr(configuration, key)
    return entry.spec if isinstance(entry, NetworkIdentity) else entry


def _notes(run: Result, against: Result) -> Iterator[Finding]:
    before, after = (result.about.configuration for result in (against, run))
    for key, old, new in (
        ("target", before.target, after.target),
        ("generator", before.generator, after.generator),
    ):
        if new is not None and old != new:
            yield Finding("note", "", "", f"the weights of {key} {new.spec} are not those of the baseline")
    for method in run.about.methods:
        if method not in against.about.methods:
            yield Finding("note", method, "", "is not in the baseline")
    for name, card in run.metrics.items():
        if name not in against.metrics and not card.unavailable:
            yield Finding("note", "", name, "is not in the baseline")


def _missing(run: Result, against: Result, tolerance: float) -> Iterator[Finding]:
    for method in against.about.methods:
        reasons = pairs.missing(against, run, method)
        if reasons:
            causes = "; ".join(f"{reason} ({count}×)" for reason, count in Counter(reasons).most_common())
            text = f"{len(reasons)} videos have a counterfactual in the baseline and none in the run: {causes}"
            failing = len(reasons) > tolerance
            yield Finding("lost" if failing else "noise", method, MISSING, text, failing)


def _pairs(run: Result, against: Result) -> Iterator[Pair | Finding]:
    for name in against.about.deciding:
        card = against.metrics[name]
        reason = _incomparable(card, run.metrics.get(name))
        if reason and against.records is not None:
            raise UsageError(f"{name} {reason}: compute it as in the baseline, or write the baseline again (--update)")
        if reason:
            yield Finding("cannot tell", "", name, f"{reason}; write the baseline again (--update)")
            continue
        for method in against.about.methods:
            yield pairs.pair(against, run, method, card)


def _incomparable(old: ScoredCard, new: ScoredCard | None) -> str:
    """Why the values of a metric cannot be compared with those in the baseline; empty if they can."""
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


def _verdicts(
    compared: Sequence[Pair | Finding], deciding: Sequence[str], tolerance: Mapping[str, float], strict: bool
) -> Iterator[Finding]:
    adjusted = adjusted_p([each for each in compared if isinstance(each, Pair)], deciding)
    for each in compared:
        if isinstance(each, Finding):
            yield Finding(each.verdict, each.method, each.metric, each.text, strict)
            continue
        name = each.card.name
        if each.lost:
            failing = each.missing > tolerance.get(MISSING, 0.0)
            yield Finding("lost" if failing else "noise", each.method, name, each.lost, failing)
        yield _verdict(each, adjusted.get((each.method, name), math.nan), tolerance.get(name, 0.0), strict)


def adjusted_p(compared: Sequence[Pair], deciding: Sequence[str]) -> dict[tuple[str, str], float]:
    """The p values of all pairs that differ, adjusted for one family, by method and metric."""
    tested = [(each, each.test) for each in compared if each.test is not None and not each.same]
    ranks = [list(deciding).index(each.card.name) for each, _ in tested]
    weights = family.weights([test.smallest for _, test in tested], ranks)
    adjusted = family.weighted_holm([test.p for _, test in tested], weights)
    return {(each.method, each.card.name): float(p) for (each, _), p in zip(tested, adjusted, strict=True)}


def _verdict(each: Pair, p: float, tolerance: float, strict: bool) -> Finding:
    moved = f"{_text(each.before)} → {_text(each.after)}"
    judged = (each.method, each.card.name)
    if math.isnan(each.loss):
        return Finding("note", *judged, "no video has a value in both")
    if each.same:
        return Finding("same", *judged, moved, pair=each)
    if each.loss <= tolerance * (1 + 1e-9):
        better = "no worse" if each.loss <= 0 else f"worse by {_text(each.loss)}, within the tolerance of {tolerance:g}"
        return Finding("noise", *judged, f"{moved}, {better}", pair=each, p=p)
    lost = f"{moved}, worse by {_text(each.loss)}"
    if each.test is None:
        text = f"{lost}; the baseline has no values of single videos to test it with: write it again (--update)"
        return Finding("cannot tell", *judged, text, strict, each)
    over = f"over {each.videos} videos, p {p:.2g}" + f"; largest in {each.drivers}" * bool(each.drivers)
    if p <= family.ERROR:
        return Finding("worse", *judged, f"{lost} {over}", True, each, p)
    return Finding("cannot tell", *judged, f"{lost}, which may be noise, {over}", strict, each, p)


def _informing(run: Result, against: Result) -> Iterator[Finding]:
    """Values of other metrics that are worse than the baseline's interval."""
    for name, card in against.metrics.items():
        if name in against.about.deciding or not card.level or not card.direction or card.unavailable:
            continue
        reason = _incomparable(card, run.metrics.get(name))
        if reason:
            yield Finding("note", "", name, reason)
            continue
        for method in against.about.methods:
            old, new = (result.value(method, name) for result in (against, run))
            low, high = (against.value(method, f"{name}_{bound}") for bound in ("low", "high"))
            if new < low if card.direction == "higher" else new > high:
                yield Finding("informs", method, name, f"{_text(old)} → {_text(new)}, beyond the baseline's interval")


def _text(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.4g}"
