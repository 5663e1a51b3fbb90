"""Negative controls for metrics: methods whose videos are known, by construction, to be worse than true edits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from vcfe_bench.goals import ClassGoal, Goal
from vcfe_bench.plugins import registry
from vcfe_bench.plugins.abilities import Corrupter, Renderer
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.method import Context, Explanation, Method, Query
from vcfe_bench.plugins.target import Target
from vcfe_bench.plugins.terms import Split

TRUE_EDIT = "true_edit"
SPLIT: Split = "validation"
"""Split of the study: metrics are not chosen on the videos of final results."""
ATTACKS = ("pgd[epsilon=5]", "pgd[epsilon=20]", "pgd[epsilon=80]")
"""Adversarial attacks with a budget below, at and above the usual one."""
BLUR = 1.5
"""Standard deviation of the Gaussian of ``Blurred``, in pixels."""
FLICKER = 0.3
"""``Flickering`` multiplies the brightness of a frame by at most 1 ± this."""


class _CorruptedEdit(Method):
    """The true edit, corrupted after rendering."""

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        return registry.METHODS.build(TRUE_EDIT).supports(dataset, target, generator, goal)

    @abstractmethod
    def corrupt(self, video: Tensor, query: Query) -> Tensor:
        """The corrupted video, ``[T, 3, H, W]`` in [0, 1]."""

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        assert isinstance(context.dataset, Renderer)
        return [Explanation(self.corrupt(context.dataset.true_edit(q.sample, q.goal), q)) for q in queries]


class Blurred(_CorruptedEdit):
    """The true edit, each frame convolved with a Gaussian of standard deviation ``BLUR``."""

    spec = "blurred"

    def corrupt(self, video: Tensor, query: Query) -> Tensor:
        return gaussian_blur(video, [11, 11], [BLUR, BLUR])


class Flickering(_CorruptedEdit):
    """The true edit, each frame except the first brighter or darker by a random factor."""

    spec = "flickering"

    def corrupt(self, video: Tensor, query: Query) -> Tensor:
        factors = 1 + FLICKER * (2 * torch.rand(len(video), 1, 1, 1, generator=query.generator()) - 1)
        factors[0] = 1
        return (factors * video).clamp(0, 1)


class Corrupted(Method):
    """The true edit with a corruption that the dataset renders."""

    def __init__(self, corruption: str) -> None:
        super().__init__()
        self.spec = self.corruption = corruption

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        assert isinstance(context.dataset, Corrupter)
        return [Explanation(context.dataset.corrupted_edit(q.sample, q.goal, self.corruption)) for q in queries]


class Noise(Method):
    """The original with white noise of the same L2 norm as the change that the method ``like`` makes to it.

    Values are clipped to [0, 1], which slightly reduces the norm.
    """

    def __init__(self, like: Method) -> None:
        super().__init__()
        self.like, self.width = like, like.width
        self.spec = f"noise[like={like.spec}]"

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        return self.like.supports(dataset, target, generator, goal)

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        explanations = []
        for query, explanation in zip(queries, self.like.run(queries, context), strict=True):
            original = query.sample.video
            noise = torch.randn(original.shape, generator=query.generator("noise"))
            length = (explanation.video - original).norm()
            explanations.append(Explanation((original + length * noise / noise.norm()).clamp(0, 1)))
        return explanations


class AnotherVideo(Method):
    """Another validation video whose label meets the goal: the first one after an index drawn at random."""

    spec = "another_video"

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        return [Explanation(self._other(query, context.dataset).video) for query in queries]

    def _other(self, query: Query, dataset: Dataset) -> Sample:
        size = dataset.size(SPLIT)
        for step in range(size):
            other = dataset.sample(SPLIT, (query.seed + step) % size)
            if other.id != query.sample.id and _meets(query.goal, other.label):
                return other
        raise NotImplementedError(f"no other video of the {SPLIT} split meets {query.goal}")


def negative_controls(dataset: Dataset) -> tuple[Method, ...]:
    """All negative controls, except for those that are part of every run (``reconstruction``, ``no_edit``)."""
    attacks = [registry.METHODS.build(spec) for spec in ATTACKS]
    noises = [Noise(like) for like in (*attacks, registry.METHODS.build(TRUE_EDIT))]
    corruptions = dataset.corruptions if isinstance(dataset, Corrupter) else ()
    return (*attacks, *noises, Blurred(), Flickering(), *map(Corrupted, corruptions), AnotherVideo())


def _meets(goal: Goal, label: int | float) -> bool:
    return label == goal.index if isinstance(goal, ClassGoal) else bool(goal.met(torch.tensor([[float(label)]])))
