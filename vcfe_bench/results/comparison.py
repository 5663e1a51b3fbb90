"""What a joined table says about its rows by comparing them with each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from vcfe_bench.results.means import mean_columns, videos_of
from vcfe_bench.results.rows import questions, shared_flips
from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.stats import significance

BY_ALL = "_flipped_by_all"
"""Suffix of the columns with a metric over the questions that all methods flipped."""


@dataclass(frozen=True)
class Section:
    """Rows that are compared with each other.

    Attributes:
        where: what they have in common, as text; empty where the table has one section.
        places: their places in the table.
        rows: method and requested records (``rows.asked``) of each.
    """

    where: str
    places: tuple[int, ...]
    rows: tuple[tuple[str, pd.DataFrame], ...]


def columns(sections: Sequence[Section], metrics: Sequence[ScoredCard], every: bool) -> pd.DataFrame:
    """The columns that compare rows, indexed by their places.

    These are ``_group`` and ``_best`` of each sample metric with a direction and, if the rows are over ``every``
    question, for each metric over flips its mean over the questions that all methods of the section flipped.
    """
    cards = [card for card in metrics if card.level == "sample" and not card.unavailable]
    added: dict[int, dict[str, object]] = {place: {} for section in sections for place in section.places}
    for section in sections:
        for card in cards:
            if card.direction:
                for place, rank in zip(section.places, _ranks(section.rows, card), strict=True):
                    added[place] |= {f"{card.name}_group": rank.group, f"{card.name}_best": rank.best}
        shared, methods = shared_flips(section.rows)
        if every and len(methods) > 1:
            for place, (_, records) in zip(section.places, section.rows, strict=True):
                kept = records[questions(records).isin(shared)]
                for card in cards:
                    if card.selected:
                        added[place] |= mean_columns(kept, videos_of(kept), card, card.name + BY_ALL)
    return pd.DataFrame.from_dict(added, orient="index")


def notes(sections: Sequence[Section], compared: pd.DataFrame, metrics: Sequence[ScoredCard]) -> Iterator[str]:
    """In which sections, and by which metrics, there are too few videos to tell any methods apart."""
    for section in sections:
        part = compared.loc[list(section.places)]
        names = [
            card.name
            for card in metrics
            if f"{card.name}_group" in part and (part[f"{card.name}_group"] == significance.TOO_FEW).any()
        ]
        if names:
            count = max(int((part[f"{name}_group"] == significance.TOO_FEW).sum()) for name in names)
            where = f"{section.where}: " if section.where else ""
            yield (
                f"{where}{significance.TOO_FEW}: too few videos to tell {count} methods apart by {', '.join(names)}. "
                "Not even the clearest difference can be significant after Holm's correction; it takes "
                f"{significance.fewest_videos(count)} videos or more."
            )


def _ranks(rows: Sequence[tuple[str, pd.DataFrame]], card: ScoredCard) -> list[significance.Rank]:
    assert card.direction is not None
    places = [place for place, (method, _) in enumerate(rows) if method not in REFERENCES]
    methods, records = [rows[place][0] for place in places], [rows[place][1] for place in places]
    result = [significance.Rank()] * len(rows)
    for place, rank in zip(places, significance.ranks(methods, records, card.name, card.direction), strict=True):
        result[place] = rank
    return result
