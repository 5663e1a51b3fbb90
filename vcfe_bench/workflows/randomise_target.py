"""``vcfe-bench evaluate randomisation``: do a method's edits depend on what the target has learned?

The model parameter randomisation test of Adebayo et al., "Sanity Checks for Saliency Maps", arXiv 1810.03292, for
counterfactual videos: the weights of the target are randomised layer by layer, cascading from the output, and the same
queries are answered again with the same seeds. The edits of a faithful method change; those of a method that would make
the same edit for any target do not.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins.method import Context, Method, Query
from vcfe_bench.plugins.target import Target
from vcfe_bench.runs import plan
from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.runs.originals import Originals, sample_of
from vcfe_bench.runs.setup import Request, Setup, resolve
from vcfe_bench.stats.intervals import Estimate, mean_interval

Report = Callable[[str, int, int], None]
"""Takes a method, the number of targets that are done for it, and their total number."""


@dataclass(frozen=True)
class Similarity:
    """How similar a method's edits stay when the top ``randomised`` of ``layers`` layers of the target are random.

    ``cosine``: cosine similarity of the edits ``counterfactual - original`` for the trained and the randomised target,
    averaged over videos; 1 for equal edits. Missing where one of the edits is zero.
    """

    method: str
    randomised: int
    layers: int
    cosine: Estimate


def check(request: Request, stages: int, report: Report = lambda method, done, total: None) -> list[Similarity]:
    """The similarity of each method's edits with ``stages`` targets, of which the last is random in all layers.

    Raises:
        UsageError: anything the user has to change.
    """
    return check_with(resolve(request), stages, report)


def check_with(setup: Setup, stages: int, report: Report) -> list[Similarity]:
    """As ``check``, for a request that has been checked."""
    layers = len(layers_of(setup.target))
    if not layers:
        raise UsageError(f"target '{setup.target.spec}' has no weights to randomise")
    counts = sorted({math.ceil(layers * stage / stages) for stage in range(1, stages + 1)})
    tasks = plan.make(setup, Originals(setup, {})).tasks
    results = []
    for method in (m for m in setup.methods if m.spec not in REFERENCES):
        skip = next((task.skip for task in tasks if task.method == method.spec and task.skip), None)
        if skip:
            raise UsageError(f"'{method.spec}' cannot be checked: {skip}")
        queries = [
            Query(sample_of(setup.dataset, setup.request.split, task.original), task.goal, task.seed)
            for task in tasks
            if task.method == method.spec
        ]
        trained = _edits(setup, method, queries, setup.target)
        for done, count in enumerate(counts, start=1):
            edits = _edits(setup, method, queries, randomised(setup.target, count, setup.request.seed))
            cosines = [_cosine(a, b) for a, b in zip(trained, edits, strict=True)]
            videos = [query.sample.id for query in queries]
            results.append(Similarity(method.spec, count, layers, mean_interval(cosines, videos)))
            report(method.spec, done, len(counts))
    return results


def layers_of(target: Target) -> list[nn.Module]:
    """The modules that have parameters of their own, from the input to the output as they are registered."""
    return [module for module in target.modules() if next(module.parameters(recurse=False), None) is not None]


@torch.no_grad()
def randomised(target: Target, count: int, seed: int) -> Target:
    """A copy of a target in which the entries of each weight of the ``count`` last layers are shuffled.

    Shuffling keeps the distribution of a weight, so that activations keep their scale. The same layers are shuffled in
    the same way for every ``count``.
    """
    copied = copy.deepcopy(target)
    layers = layers_of(copied)
    for index in range(len(layers) - count, len(layers)):
        for name, weight in layers[index].named_parameters(recurse=False):
            random = torch.Generator().manual_seed(seeds.derive(seed, "randomised", index, name))
            order = torch.randperm(weight.numel(), generator=random).to(weight.device)
            weight.copy_(weight.flatten()[order].view_as(weight))
    return copied


def _edits(setup: Setup, method: Method, queries: Sequence[Query], target: Target) -> list[Tensor]:
    context = Context(setup.dataset, target, setup.generator_for(method))
    explanations = method.answer(queries, context)
    return [
        explanation.video.detach().clamp(0, 1) - query.sample.video
        for query, explanation in zip(queries, explanations, strict=True)
    ]


def _cosine(first: Tensor, second: Tensor) -> float:
    """Cosine similarity of two edits; NaN if one of them is zero."""
    if not first.any() or not second.any():
        return math.nan
    return F.cosine_similarity(first.double().flatten(), second.double().flatten(), dim=0).item()
