"""Shortcuts: where a cue correlates with the label without causing it, which of the two does a counterfactual change?

These metrics are for datasets with a planted shortcut that they can measure and render.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch

from vcfe_bench.metrics.attributes import attributes, same
from vcfe_bench.metrics.inputs import video_pair
from vcfe_bench.metrics.requery import flipped, requery
from vcfe_bench.plugins.abilities import PlantedShortcut
from vcfe_bench.plugins.dataset import Dataset
from vcfe_bench.plugins.metric import Card, Case, SampleMetric


def takes_another_value(case: Case, names: Collection[str]) -> bool:
    """Whether one of the attributes takes another value; one that can no longer be measured does not."""
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
    """1 where the counterfactual changes the cause of the label, else 0."""

    card = Card(
        name="cause_changed",
        question="How often does the counterfactual change the cause of the label?",
        criterion="actionability",
        direction=None,
        unit="rate",
        range=(0.0, 1.0),
        source="attributes measured by the dataset",
        failure_modes="Describes the explanation, not whether it is right: for a target that relies on the shortcut "
        "the right value is 0. A cause that is lost does not count as changed.",
    )

    def score(self, case: Case) -> float:
        return math.nan if video_pair(case) is None else float(takes_another_value(case, planted(case).cause))


class ShortcutChanged(_ShortcutMetric):
    """1 where the counterfactual changes what correlates with the label in training without causing it, else 0."""

    card = Card(
        name="shortcut_changed",
        question="How often does the counterfactual change the planted shortcut?",
        criterion="actionability",
        direction=None,
        unit="rate",
        range=(0.0, 1.0),
        source="attributes measured by the dataset",
        failure_modes="Describes the explanation, not whether it is right: for a target that relies on the cause the "
        "right value is 0. A shortcut that is lost does not count as changed.",
    )

    def score(self, case: Case) -> float:
        return math.nan if video_pair(case) is None else float(takes_another_value(case, planted(case).shortcut))


class ShortcutFaithful(_ShortcutMetric):
    """1 where a flipped counterfactual changes what the target relies on in this video, and not the other, else 0.

    What the target relies on is determined by intervention: the cause where the true edit alone meets the goal, the
    shortcut where the shortcut's edit alone does. NaN without a flip, and where neither edit meets the goal.
    """

    needs_target = True
    card = Card(
        name="faithful",
        question="How many flips change only what the target relies on, cause or shortcut?",
        criterion="actionability",
        direction="higher",
        unit="rate",
        range=(0.0, 1.0),
        source="interventions on the scene: the target is run on edits of the cause alone and of the shortcut alone",
        failure_modes="Over flipped videos that an edit of cause or shortcut flips: read it alongside FR and n. "
        "Where both do, either counts as right. Says nothing about changes other than these two.",
        selected=True,
    )

    def score(self, case: Case) -> float:
        if video_pair(case) is None or not flipped(case):
            return math.nan
        dataset = planted(case)
        edits = torch.stack([case.ideal.video, dataset.shortcut_edit(case.sample, case.goal)])
        names = (dataset.cause, dataset.shortcut)
        used = case.goal.met(requery(case, edits)).tolist()
        changed = [takes_another_value(case, part) for part in names]
        if not any(used):
            return math.nan
        return float(any(changed) and all(use for use, change in zip(used, changed, strict=True) if change))
