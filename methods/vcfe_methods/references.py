"""Reference rows of every table: no edit, reconstruction by the generator, and the true edit."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vcfe_bench.goals import Goal
from vcfe_bench.interfaces import Context, Dataset, Explanation, Generator, Method, Query, Renderer, Target


class NoEdit(Method):
    """The original: lower bound of validity, upper bound of proximity."""

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        return [Explanation(query.sample.video) for query in queries]


class Reconstruction(Method):
    """D(E(x)) of the generator: the most that a method can preserve of a video if it edits in the latent space."""

    needs_generator = True

    @torch.no_grad()
    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        assert context.generator is not None
        videos = torch.stack([query.sample.video for query in queries])
        decoded = context.generator.decode(context.generator.encode(videos))
        return [Explanation(video) for video in decoded]


class TrueEdit(Method):
    """The same scene rendered with the goal's label: the result of an ideal method."""

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        if not isinstance(dataset, Renderer):
            return "the dataset cannot render its scenes with another label"
        return super().supports(dataset, target, generator, goal)

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        assert isinstance(context.dataset, Renderer)
        return [Explanation(context.dataset.true_edit(query.sample, query.goal)) for query in queries]
