"""What the rows of a joined leaderboard are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.runs.records import ScoredCard

BUDGET = "budget"
CONTEXT = ("dataset", "split", "target", "generator", "goals", "videos", BUDGET)
"""Fields of a row's context that make it a row of its own."""
SEED, TARGET_RIGHT = "seed", "target_right"
DIVISIONS = (*CONTEXT, SEED, TARGET_RIGHT)
"""Fields of a row's context that tables may be divided by."""
ALL, FLIPPED, FLIPPED_BY_ALL = "all", "flipped", "flipped_by_all"
CHOICES = (ALL, FLIPPED, FLIPPED_BY_ALL)
"""Which counterfactuals a table may be restricted to."""


def declined(records: pd.DataFrame) -> pd.Series:
    """Which tasks a method declined before the run (``supports``): skipped without any time spent on them."""
    return (records["status"] == "skipped") & records["seconds"].isna()


def asked(records: pd.DataFrame, cards: Sequence[ScoredCard]) -> pd.DataFrame:
    """The records of all tasks that methods did not decline, with a value where there is no counterfactual.

    A video that a method was asked to change and has no counterfactual for (it failed, gave up during the run, or spent
    its budget) has ``ScoredCard.unanswered`` as its value of each metric that has one, whatever its record says:
    it is not flipped, not valid. All rates and paired tests start from here.
    """
    kept = records[~declined(records)]
    present = [card for card in cards if card.unanswered is not None and not card.unavailable and card.name in kept]
    return kept.assign(**{card.name: kept[card.name].mask(kept["status"] != "ok", card.unanswered) for card in present})


def questions(records: pd.DataFrame) -> pd.Series:
    """Video and goal of each record."""
    return pd.Series(list(zip(records["sample"], records["goal"], strict=True)), index=records.index, dtype=object)


def shared_flips(members: Sequence[tuple[str, pd.DataFrame]]) -> tuple[set[tuple[str, str]], list[str]]:
    """The questions whose goal was met by all methods, with every seed, and which methods these are.

    ``members`` are rows that are compared: a method and its records. Reference methods and methods without any
    counterfactual have no say.
    """
    voting = [
        (method, records[~declined(records)])
        for method, records in members
        if method not in REFERENCES and (records["status"] == "ok").any()
    ]
    flips = []
    for _, records in voting:
        met = records["met"].fillna(False).astype(bool).groupby(questions(records)).all()
        flips.append(set(met.index[met]))
    return (set.intersection(*flips) if flips else set()), [method for method, _ in voting]


@dataclass(frozen=True)
class Context:
    """What a row belongs to, besides its method.

    Attributes:
        videos: the number of videos requested.
        budget: what could be spent on network calls for a task; ``none`` without a limit, as for reference methods.
        code: a hash of the method's code and of all weights.
        seed: all seeds, separated by commas.
        among: one of ``CHOICES``.
        runs: paths of the runs, separated by commas.
        target_right: ``yes`` or ``no`` where rows are divided by whether the target predicts the true label of the
            original, otherwise None.
    """

    dataset: str
    split: str
    target: str
    generator: str
    goals: str
    videos: int
    budget: str
    code: str
    seed: str
    among: str = ALL
    runs: str = ""
    target_right: str | None = None

    def values(self, names: Sequence[str]) -> tuple[str | int, ...]:
        return tuple(getattr(self, name) for name in names)

    def columns(self) -> dict[str, str | int]:
        """The columns of the row; ``target_right`` only where rows are divided by it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Row:
    """The records of one row; ``records`` and ``sets`` have the columns of a run's own tables."""

    method: str
    context: Context
    records: pd.DataFrame
    sets: pd.DataFrame


@dataclass(frozen=True)
class Joined:
    """Joined runs.

    Attributes:
        rows: in the order of the runs, reference methods last.
        metrics: one card for each metric.
        missing: the number of planned tasks that have not run.
        notes: what a reader should know about the runs.
    """

    rows: tuple[Row, ...]
    metrics: tuple[ScoredCard, ...]
    missing: int
    notes: tuple[str, ...]
