"""Means of sample metrics over the tasks of a row."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.stats import intervals

COUNTED = ("rate", "share of attributes", "share of frames", "share of pairs")
"""Units of metrics that count something for each video: their means have the interval of a rate."""


def videos_of(records: pd.DataFrame) -> np.ndarray:
    """A number for the video of each record, ``[records]``."""
    return pd.factorize(records["sample"])[0]


def mean_columns(records: pd.DataFrame, videos: np.ndarray, card: ScoredCard, name: str) -> dict[str, float]:
    """The mean of a metric as ``name``, with ``_low``, ``_high`` (95 % interval over ``videos``) and ``_n``."""
    values = records[card.name].to_numpy(float) if card.name in records else np.full(len(records), math.nan)
    if card.unit in COUNTED:
        mean = intervals.rate_interval(values, videos)
    else:
        mean = intervals.mean_interval(values, videos, card.range)
    return {name: mean.value, f"{name}_low": mean.low, f"{name}_high": mean.high, f"{name}_n": mean.n}
