"""The five kinds of plug-in and the data passed between them: everything that the author of a plug-in imports.

Videos are float32 tensors ``[T, 3, H, W]`` (or ``[B, T, 3, H, W]``) with values in [0, 1]. What a dataset yields and
what a run directory returns lies on the 8-bit grid ``k / 255``.
"""

from vcfe_bench.plugins.abilities import (
    AnnotatedAttributes,
    AttributeReader,
    AttributeValue,
    Augmenter,
    Bystanders,
    CausalAttributes,
    ControlExperiments,
    Corrupter,
    GoalGroups,
    IdentityAttributes,
    KnownLabels,
    Oracle,
    PlantedShortcut,
    Renderer,
    Track,
    Tracker,
    TransferTargets,
)
from vcfe_bench.plugins.base import Memo, NoParams, Plugin
from vcfe_bench.plugins.calls import Calls
from vcfe_bench.plugins.dataset import Dataset, Sample, Values
from vcfe_bench.plugins.generator import Constraints, Generator
from vcfe_bench.plugins.method import Context, Explanation, Method, Progress, Query
from vcfe_bench.plugins.metric import (
    Card,
    Case,
    Footage,
    Metric,
    PairMetric,
    SampleMetric,
    SetMetric,
)
from vcfe_bench.plugins.search_space import IntegerRange, Options, RealRange, SearchSpace
from vcfe_bench.plugins.target import Features, FeatureTarget, Target
from vcfe_bench.plugins.terms import Criterion, Split

__all__ = [
    "AnnotatedAttributes",
    "AttributeReader",
    "AttributeValue",
    "Augmenter",
    "Bystanders",
    "Calls",
    "Card",
    "Case",
    "CausalAttributes",
    "Constraints",
    "Context",
    "ControlExperiments",
    "Corrupter",
    "Criterion",
    "Dataset",
    "Explanation",
    "FeatureTarget",
    "Features",
    "Footage",
    "Generator",
    "GoalGroups",
    "IdentityAttributes",
    "IntegerRange",
    "KnownLabels",
    "Memo",
    "Method",
    "Metric",
    "NoParams",
    "Options",
    "Oracle",
    "PairMetric",
    "PlantedShortcut",
    "Plugin",
    "Progress",
    "Query",
    "RealRange",
    "Renderer",
    "Sample",
    "SampleMetric",
    "SearchSpace",
    "SetMetric",
    "Split",
    "Target",
    "Track",
    "Tracker",
    "TransferTargets",
    "Values",
]
