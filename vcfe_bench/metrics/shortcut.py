"""Shortcuts: where training data hold a cue beside the cause, which of the two does a counterfactual change?

These metrics are for datasets that planted the shortcut and can measure and render it.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch

from vcfe_bench.metrics.attributes import attributes, same
from vcfe_bench.metrics.inputs import pair
from vcfe_bench.metrics.requery import flipped, outputs
from vcfe_bench.plugins.abilities import PlantedShortcut
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, SampleMetric


def took_another(case: Case, names: Collection[str]) -> bool:
    """Whether one of the attributes took another value; one that can no longer be told did not."""
    before, after = case.original.shared(attributes), case.edited.shared(attributes)
    if before is None or after is None:
        return False
    return any(after[name] is not None and not same(before[name], after[name]) for name in names)


def planted(case: Case) -> PlantedShortcut:
    """The case's dataset, which has a planted shortcut."""
    assert isinstance(case.dataset, PlantedShortcut)
    return case.dataset


class _ShortcutMetric(SampleMetric):
    def unavailable(self, dataset: Dataset) -> str | None:
        if isinstance(dataset, PlantedShortcut) and dataset.shortcut:
            return None
        return "the dataset has no planted shortcut"


class CauseChanged(_ShortcutMetric):
    """1 where the counterfactual changes what makes the label, else 0."""

    card = Card(
        name="cause_changed",
        question="How often does the counterfactual change what makes the label?",
        criterion="actionability",
        direction=None,
        unit="rate",
        range=(0.0, 1.0),
        source="attributes measured by the dataset",
        failure_modes="Says how a method explains, not whether it is right: a target that goes by the shortcut should "
        "get 0. A cause that got lost does not count as changed.",
    )

    def score(self, case: Case) -> float:
        return math.nan if pair(case) is None else float(took_another(case, planted(case).cause))


class ShortcutChanged(_ShortcutMetric):
    """1 where the counterfactual changes what goes with the label in training without making it, else 0."""

    card = Card(
        name="shortcut_changed",
        question="How often does the counterfactual change the planted shortcut?",
        criterion="actionability",
        direction=None,
        unit="rate",
        range=(0.0, 1.0),
        source="attributes measured by the dataset",
        failure_modes="Says how a method explains, not whether it is right: a target that goes by the cause should get "
        "0. A shortcut that got lost does not count as changed.",
    )

    def score(self, case: Case) -> float:
        return math.nan if pair(case) is None else float(took_another(case, planted(case).shortcut))


class ShortcutFaithful(_ShortcutMetric):
    """1 where a flipped counterfactual changes what the target goes by in this very video, and nothing else, else 0.

    What the target goes by is tried out: the cause where the true edit alone meets the goal, the shortcut where the
    shortcut's edit alone does. NaN without a flip, and where neither edit meets the goal.
    """

    needs_target = True
    card = Card(
        name="faithful",
        question="How many flips show what the target goes by, cause or shortcut?",
        criterion="actionability",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source="interventions on the scene: edits of the cause alone and of the shortcut alone, put before the target",
        failure_modes="Over flipped videos that an edit of cause or shortcut flips: read it beside FR and n. Where "
        "both do, either counts as right. Says nothing about changes beside the two.",
    )

    def score(self, case: Case) -> float:
        if pair(case) is None or not flipped(case):
            return math.nan
        dataset = planted(case)
        edits = torch.stack([case.ideal.video, dataset.shortcut_edit(case.sample, case.goal)])
        names = (dataset.cause, dataset.shortcut)
        used = case.goal.met(outputs(case, edits)).tolist()
        moved = [took_another(case, part) for part in names]
        if not any(used):
            return math.nan
        return float(any(moved) and all(use for use, move in zip(used, moved, strict=True) if move))
