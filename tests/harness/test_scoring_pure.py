"""Scores of cases, sets and pairs as functions of their arguments: no run directory, no progress, no journal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from vcfe_toys.dataset import Lights
from vcfe_toys.metrics import Bias, Change, Flip, Masked, Spread

from vcfe_bench.core import seeds
from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Case
from vcfe_bench.runs.records import Record
from vcfe_bench.scoring.cards import build, problems
from vcfe_bench.scoring.pairs import score_pairs
from vcfe_bench.scoring.samples import score_case
from vcfe_bench.scoring.sets import Floor, SetFeatures, SetScore, score_floor, score_set, set_row
from vcfe_bench.stats.set_distances import distance_interval, real_against_real


def case(index: int, shift: float = 0.25) -> Case:
    """A counterfactual that is ``shift`` darker than its original and predicted to be of class 1."""
    dataset = Lights()
    sample = dataset.sample("test", index)
    before, after = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 2.0, 0.0])
    return Case(dataset, sample, ClassGoal(1), sample.video - shift, before, after)


class Curved(Flip):
    """A flip rate with a curve."""

    card = replace(Flip.card, name="curved", version=3)

    def curves(self, case: Case) -> dict[str, np.ndarray]:
        return {"outputs": np.stack([case.before.numpy(), case.after.numpy()])}


class Outside(Flip):
    card = replace(Flip.card, name="outside")

    def score(self, case: Case) -> float:
        return 1.5


def test_a_case_has_a_value_a_version_and_a_curve_of_each_metric() -> None:
    scores = score_case(case(0), [Flip(), Change(), Curved()])
    assert scores.values == {"toy_FR": 1.0, "change": pytest.approx(0.25), "curved": 1.0}
    assert scores.versions == {"toy_FR": 1, "change": 1, "curved": 3}
    assert scores.errors == {}
    np.testing.assert_array_equal(scores.curves["outputs"], [[2, 0, 0], [0, 2, 0]])


def test_a_metric_that_fails_leaves_the_others_as_they_are() -> None:
    scores = score_case(case(2), [Change(), Outside(), Flip()])
    assert {name for name, value in scores.values.items() if math.isnan(value)} == {"change", "outside"}
    assert scores.values["toy_FR"] == 1
    assert scores.errors == {
        "change": "ValueError: too dark",
        "outside": "ContractError: 1.5 is outside the range on the card, 0 to 1",
    }


class Infinite(Flip):
    card = replace(Flip.card, name="infinite", range=(-math.inf, math.inf))

    def score(self, case: Case) -> float:
        return case.goal.index * math.inf  # type: ignore[attr-defined]


def test_infinity_is_refused_even_where_the_range_is_open() -> None:
    scores = score_case(case(0), [Infinite(), Flip()])
    assert math.isnan(scores.values["infinite"])
    assert scores.errors == {"infinite": "ContractError: inf is no value; a metric that is undefined returns NaN"}


def test_an_undefined_value_is_not_an_error() -> None:
    scores = score_case(case(0), [Masked()])
    assert math.isnan(scores.values["masked"])
    assert scores.errors == {}


def test_scores_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        score_case(case(0), []).values = {}  # type: ignore[misc]


def features(seed: int, count: int = 6) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).normal(size=(count, 1, 3)))


def test_a_set_has_its_distance_with_an_interval_over_sources() -> None:
    originals, counterfactuals = features(0), features(1)
    sources = ["a", "b", "c", "a", "b", "c"]
    score = score_set(SetFeatures(originals, counterfactuals, sources), Spread())
    expected = distance_interval(originals, counterfactuals, Spread().distance, sources, lowest=0)
    assert score == SetScore(6, expected.value, expected.low, expected.high)
    assert score.low < score.value < score.high


class Brittle(Spread):
    def distance(
        self, originals: Sequence[np.ndarray], counterfactuals: Sequence[np.ndarray], sources: Sequence[str]
    ) -> float:
        raise ArithmeticError("singular")


def test_a_set_metric_that_fails_has_a_reason() -> None:
    score = score_set(SetFeatures(features(0), features(1), list("abcdef")), Brittle())
    assert (score.n, score.reason) == (6, "ArithmeticError: singular")
    assert math.isnan(score.value)
    assert math.isnan(score_floor(dict(zip("abc", features(0, 3), strict=True)), named("x"), Brittle()).value)


def named(prefix: str, count: int = 6, seed: int = 2) -> dict[str, np.ndarray]:
    return {f"{prefix}{k}": video for k, video in enumerate(features(seed, count))}


def test_a_floor_is_between_as_many_real_videos_and_reference_videos() -> None:
    originals, reference = named("o", 4, 0), named("r", 6, 1)
    floor = score_floor(originals, reference, Spread())
    assert floor.n == 4
    assert floor == score_floor(originals, dict(list(reference.items())[:4]), Spread())
    swapped = score_floor(dict(reversed(originals.items())), reference, Spread())
    assert floor == swapped, "the order of the videos is of no consequence"
    real = {**originals, **dict(list(reference.items())[:4])}
    seed = seeds.derive(Spread.card.name)
    assert floor.value == real_against_real([*real.values()], [*real], Spread().distance, seed).mean()


def test_there_is_no_floor_with_fewer_reference_videos() -> None:
    floor = score_floor(named("o", 4), named("r", 3), Spread())
    assert math.isnan(floor.value)
    assert floor.n == Floor().n == 0


def record(sample: str, goal: str, after: float | None) -> Record:
    return Record(
        *(sample, "m", sample, 0, 40.0, 40.0, goal),
        status="failed" if after is None else "ok",
        after=None if after is None else (after,),
    )


def test_pairs_are_of_requested_and_reached_values() -> None:
    records = [record("a", "value=50±5", 52.0), record("b", "value=60±5", 61.0), record("c", "value=30±5", 33.0)]
    score = score_pairs([*records, record("d", "value=20±5", None), record("e", "class=1", 0.0)], Bias())
    assert (score.n, score.value) == (3, 2.0)
    assert 1 <= score.low < score.value < score.high <= 3


def test_without_requested_values_there_are_no_pairs() -> None:
    score = score_pairs([record("a", "class=1", 0.0)], Bias())
    assert (score.n, score.reason) == (0, "no goal requests a value")


def test_problems_count_the_errors_of_each_metric() -> None:
    errors = {("b", "x"): "second", ("c", "x"): "third", ("c", "y"): "other"}
    assert problems(errors) == {"x": "failed on 2 videos: second", "y": "failed on 1 videos: other"}


def test_every_requested_metric_has_a_card() -> None:
    flip, missing, unknown = build(["toy_flip", "toy_missing", "toy_flop"], Lights(), must_work=False)
    assert (flip.card.level, flip.card.unavailable) == ("sample", None)
    assert isinstance(flip.metric, Flip)
    assert (missing.card.name, missing.card.unavailable) == ("missing(net)", "net.safetensors is missing")
    assert missing.metric is None
    assert unknown.card.level is None
    assert "toy_flop" in str(unknown.card.unavailable)


class Endless(Spread):
    """An infinite distance, or, as ``bounded``, one that is infinite without one of the videos."""

    bounded = False

    def distance(self, originals, counterfactuals, sources):  # type: ignore[no-untyped-def]
        return 1.0 if self.bounded and "0" in sources else math.inf


def test_infinite_distances_and_bounds_are_refused() -> None:
    sets = SetFeatures(features(0), features(1), list("012345"))
    endless = Endless()
    score = score_set(sets, endless)
    assert math.isnan(score.value)
    assert score.reason == "ContractError: inf is no value; a metric that is undefined returns NaN"
    endless.bounded = True
    score = score_set(sets, endless)
    assert (score.value, score.reason) == (1.0, "")
    assert math.isnan(score.low)
    assert math.isnan(score.high)
    real = {str(k): row for k, row in enumerate(features(0))}
    assert math.isnan(score_floor(real, {f"r{k}": row for k, row in real.items()}, Endless()).value)


class Unbiased(Spread):
    def __init__(self) -> None:
        super().__init__()
        self.card = replace(self.card, unbiased=True)


def test_a_floor_has_a_spread_and_that_of_an_unbiased_distance_is_zero() -> None:
    originals, reference = named("o", 4, 0), named("r", 4, 1)
    real = {**originals, **reference}
    seed = seeds.derive(Spread().card.name)
    splits = [real_against_real([*real.values()], [*real], Spread().distance, seed, n) for n in (20, 50)]
    floor, noise = (score_floor(originals, reference, metric) for metric in (Spread(), Unbiased()))
    assert (floor.value, floor.sd) == (splits[0].mean(), splits[0].std(ddof=1))
    assert (noise.value, noise.sd) == (0.0, splits[1].std(ddof=1))
    row = set_row("a", "spread", 1, SetScore(4), noise)
    assert (row.floor, row.floor_n, row.floor_sd) == (0.0, 4, noise.sd)
