"""The five kinds of plug-in, and the data that passes between them: everything a plug-in's author imports.

Videos are float32 tensors ``[T, 3, H, W]`` (or ``[B, T, 3, H, W]``) with values in [0, 1]. What a dataset yields and
what a run directory returns lies on the 8-bit grid ``k / 255``.
"""

from vcfe_bench.plugins.base import NoParams, Plugin, Remembers
from vcfe_bench.plugins.dataset import AttributeValue, Dataset, Sample, Split, Track, Values
from vcfe_bench.plugins.generator import Constraints, Generator
from vcfe_bench.plugins.method import Context, Explanation, Method, Progress, Query
from vcfe_bench.plugins.metric import (
    Card,
    Case,
    Criterion,
    Footage,
    Metric,
    PairMetric,
    SampleMetric,
    SetMetric,
)
from vcfe_bench.plugins.target import Features, FeatureTarget, Target

__all__ = [
    "AttributeValue",
    "Card",
    "Case",
    "Constraints",
    "Context",
    "Criterion",
    "Dataset",
    "Explanation",
    "FeatureTarget",
    "Features",
    "Footage",
    "Generator",
    "Method",
    "Metric",
    "NoParams",
    "PairMetric",
    "Plugin",
    "Progress",
    "Query",
    "Remembers",
    "Sample",
    "SampleMetric",
    "SetMetric",
    "Split",
    "Target",
    "Track",
    "Values",
]
