"""Conformance check of a method: does it keep the contract of ``interfaces.Method``, on a few small videos?

The results of a method that keeps the contract do not depend on the other videos in the batch, on the order of the
videos, or on interruptions of the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vcfe_bench.core import weights
from vcfe_bench.core.errors import describe
from vcfe_bench.executors import serial
from vcfe_bench.goals import ClassGoal, Goal, ValueGoal
from vcfe_bench.plugins import registry
from vcfe_bench.plugins.calls import Calls
from vcfe_bench.plugins.counted import counted
from vcfe_bench.plugins.method import Context, Explanation, Method, Query
from vcfe_bench.runs import plan
from vcfe_bench.runs.configuration import THREADS
from vcfe_bench.runs.originals import Originals, sample_of
from vcfe_bench.runs.setup import Request, Setup, resolve
from vcfe_bench.runs.watch import watched
from vcfe_bench.video import lossless

DATASET = "shape_moving"
"""Spec of the dataset that is used by default, with its target and generator."""
OUTSIDE = 0.25
"""Fraction of the values outside [0, 1] above which a video seems to be on another scale. The harness clamps values."""


@dataclass(frozen=True)
class Finding:
    """Result for one rule of the contract.

    Attributes:
        rule: name of the rule.
        problem: how the method breaks the rule, or None.
        note: further information, for instance the running time.
    """

    rule: str
    problem: str | None = None
    note: str = ""


def check(spec: str, dataset: str = DATASET) -> Iterator[Finding]:
    """Check a registered method; yields the result for each rule. The method runs four times on a full micro-batch.

    Raises:
        UsageError: the method or the dataset cannot be built.
    """
    method = registry.METHODS.build(spec)
    setup = resolve(Request((spec,), dataset, limit=2 * method.width))
    tasks = [task for task in plan.make(setup, Originals(setup, {})).tasks if task.method == method.spec]
    yield Finding("spec", _spec(method))
    yield Finding("supports", _supports(method, setup, tasks[0].goal))
    if tasks[0].skip is not None:
        yield Finding("run", note=f"not run: the method does not support {dataset}: {tasks[0].skip}")
        return
    queries = [Query(sample_of(setup.dataset, "test", t.original), t.goal, t.seed) for t in tasks]
    queries = (queries * 2 * method.width)[: 2 * method.width]
    with serial.threads(THREADS):
        yield from _run(method, setup, queries[: method.width], queries[method.width :])


def _run(method: Method, setup: Setup, first: list[Query], second: list[Query]) -> Iterator[Finding]:
    """Rules that need results, on two micro-batches."""
    generator = setup.generator_for(method)
    calls = Calls(method.width)
    context = counted(Context(setup.dataset, setup.target, generator), calls)
    networks = [setup.target, *(generator.networks().values() if generator else ())]

    def run(queries: Sequence[Query], global_seed: int) -> list[Explanation]:
        torch.manual_seed(global_seed)
        np.random.seed(global_seed)
        return list(method.run(queries, context))

    inputs, fingerprint = _copies(first), weights.fingerprint(setup.target)
    start = time.perf_counter()
    try:
        with watched(networks, calls) as uncharged:
            explanations = run(inputs, 0)
    except NotImplementedError as error:
        yield Finding("run", note=f"not run: the method does not support this query: {error}")
        return
    except Exception as error:
        yield Finding("run", describe(error))
        return
    seconds = (time.perf_counter() - start) / len(first)
    yield Finding("run", note=f"{seconds:.2f} s per video, {len(first)} in a batch")
    if len(explanations) != len(first):
        yield Finding("count", f"{len(explanations)} explanations for {len(first)} queries")
        return
    yield Finding("calls", uncharged.reason or None)
    for rule, judge in RULES.items():
        problems = (judge(e, query.sample.video) for e, query in zip(explanations, first, strict=True))
        problem = next(filter(None, problems), None)
        yield Finding(rule, problem)
        if rule == "shape" and problem:
            return
    same = all(a.sample.video.equal(b.sample.video) for a, b in zip(inputs, first, strict=True))
    yield Finding("inputs", None if same else "the video of a query was changed in place: work on a copy")
    evaluating = not (setup.target.training or context.target.training)
    same = weights.fingerprint(setup.target) == fingerprint and evaluating
    yield Finding("target", None if same else "the weights or the mode of the target were changed")
    same = _equal(explanations, run(_copies(first), 1))
    yield Finding(
        "determinism", None if same else "a second run differs: draw from query.generator() and keep no state"
    )
    run(_copies(second), 0)
    same = _equal(explanations[:1], run(_copies([first[0], *second[1:]]), 0)[:1])
    yield Finding(
        "independence", None if same else "a result depends on the other queries of the batch or on previous batches"
    )


def _copies(queries: Sequence[Query]) -> list[Query]:
    """Queries with copies of the videos."""
    return [replace(query, sample=replace(query.sample, video=query.sample.video.clone())) for query in queries]


def _spec(method: Method) -> str | None:
    again = registry.METHODS.build(method.spec)
    return None if again.params == method.params else f"{method.spec} does not build the same method again"


def _supports(method: Method, setup: Setup, goal: Goal) -> str | None:
    generator = setup.generator_for(method)
    for each in (goal, ClassGoal(0), ValueGoal(0.0, 1.0)):
        try:
            reason = method.supports(setup.dataset, setup.target, generator, each)
        except Exception as error:
            return f"raises an error for the goal {each}: {describe(error)}"
        if not (reason is None or (isinstance(reason, str) and reason)):
            return f"returns {reason!r} for the goal {each}: it has to be None or a reason"
    if method.needs_generator and method.supports(setup.dataset, setup.target, None, goal) is None:
        return "needs a generator but returns None without one: call super().supports()"
    return None


def _shape(explanation: Explanation, original: Tensor) -> str | None:
    video: object = explanation.video
    if not isinstance(video, Tensor) or not video.is_floating_point():
        return f"the video is {getattr(video, 'dtype', type(video).__name__)}, not a floating-point tensor"
    if video.shape != original.shape:
        return f"a video of shape {tuple(video.shape)} for an original of shape {tuple(original.shape)}"
    return None


def _range(explanation: Explanation, original: Tensor) -> str | None:
    video = explanation.video
    if not torch.isfinite(video).all():
        return "a video has NaN or infinite values"
    outside = float(((video < 0) | (video > 1)).float().mean())
    span = f"from {float(video.min()):.3g} to {float(video.max()):.3g}"
    return None if outside < OUTSIDE else f"{outside:.0%} of the values, {span}, lie outside [0, 1]"


def _trace(explanation: Explanation, original: Tensor) -> str | None:
    if len({len(values) for values in explanation.trace.values()}) > 1:
        return "series of different lengths"
    numeric = all(np.asarray(values).dtype.kind in "fiub" for values in explanation.trace.values())
    return None if numeric else "a series does not consist of numbers"


def _artefacts(explanation: Explanation, original: Tensor) -> str | None:
    objects = [name for name, values in explanation.artefacts.items() if np.asarray(values).dtype.hasobject]
    return f"{objects[0]} contains Python objects: store numbers or text" if objects else None


RULES: dict[str, Callable[[Explanation, Tensor], str | None]] = {
    "shape": _shape,
    "range": _range,
    "trace": _trace,
    "artefacts": _artefacts,
}
"""Rules for a single explanation and its original ``[T, 3, H, W]``: the problem, or None."""


def _equal(first: Sequence[Explanation], second: Sequence[Explanation]) -> bool:
    """Whether the harness would store the same pixels."""
    pixels = ([lossless.quantise(torch.nan_to_num(e.video)) for e in side] for side in (first, second))
    return all(a.equal(b) for a, b in zip(*pixels, strict=True))
