"""Whether a method keeps the contract of ``interfaces.Method``, tried out on a few small videos.

A method that keeps it gives the same records whatever its neighbours, the order of the videos, and interruptions.
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
from vcfe_bench.plugins.method import Context, Explanation, Method, Query
from vcfe_bench.runs import plan
from vcfe_bench.runs.configuration import THREADS
from vcfe_bench.runs.originals import Originals, sample_of
from vcfe_bench.runs.setup import Request, Setup, resolve
from vcfe_bench.video import lossless

WORLD = "shape_moving"
"""Spec of the dataset whose videos, target and generator a method is tried out on."""
OUTSIDE = 0.25
"""Share of a video's values beyond [0, 1] from which on it looks as if it were on another scale; the harness clamps."""


@dataclass(frozen=True)
class Finding:
    """One rule and what is wrong, None where it is kept; ``note`` is what else there is to say."""

    rule: str
    problem: str | None = None
    note: str = ""


def check(spec: str, dataset: str = WORLD) -> Iterator[Finding]:
    """Try a registered method out; the findings as they are made. It runs four times on a full micro-batch.

    Raises:
        UsageError: unknown or broken method or dataset, or bad parameters.
    """
    method = registry.METHODS.build(spec)
    setup = resolve(Request((spec,), dataset, limit=2 * method.width))
    tasks = [task for task in plan.make(setup, Originals(setup, {})).tasks if task.method == method.spec]
    yield Finding("spec", _spec(method))
    yield Finding("supports", _supports(method, setup, tasks[0].goal))
    if tasks[0].skip is not None:
        yield Finding("run", note=f"not tried: the method does not support {dataset}: {tasks[0].skip}")
        return
    queries = [Query(sample_of(setup.dataset, "test", t.original), t.goal, t.seed) for t in tasks]
    queries = (queries * 2 * method.width)[: 2 * method.width]
    with serial.threads(THREADS):
        yield from _run(method, setup, queries[: method.width], queries[method.width :])


def _run(method: Method, setup: Setup, first: list[Query], second: list[Query]) -> Iterator[Finding]:
    context = Context(setup.dataset, setup.target, setup.generator_for(method))

    def run(queries: Sequence[Query], luck: int) -> list[Explanation]:
        torch.manual_seed(luck)
        np.random.seed(luck)
        return list(method.run(queries, context))

    given, target = _copies(first), weights.fingerprint(setup.target)
    start = time.perf_counter()
    try:
        found = run(given, 0)
    except NotImplementedError as error:
        yield Finding("run", note=f"not tried: the method cannot do this: {error}")
        return
    except Exception as error:
        yield Finding("run", describe(error))
        return
    seconds = (time.perf_counter() - start) / len(first)
    yield Finding("run", note=f"{seconds:.2f} s a video, {len(first)} side by side")
    if len(found) != len(first):
        yield Finding("count", f"{len(found)} explanations for {len(first)} queries")
        return
    rules: dict[str, Callable[[Explanation, Tensor], str | None]] = {
        "shape": _shape,
        "range": _range,
        "trace": _trace,
        "artefacts": _artefacts,
        "evaluations": _evaluations,
    }
    for rule, judge in rules.items():
        judged = (judge(e, query.sample.video) for e, query in zip(found, first, strict=True))
        problem = next(filter(None, judged), None)
        yield Finding(rule, problem)
        if rule == "shape" and problem:
            return
    same = all(a.sample.video.equal(b.sample.video) for a, b in zip(given, first, strict=True))
    yield Finding("inputs", None if same else "the video of a query was changed in place: work on a copy")
    kept = weights.fingerprint(setup.target) == target and not setup.target.training
    yield Finding("target", None if kept else "the target's weights or mode were changed")
    alike = _equal(found, run(_copies(first), 1))
    yield Finding("determinism", None if alike else "a second run differs: draw from query.generator(), keep no state")
    run(_copies(second), 0)
    alike = _equal(found[:1], run(_copies([first[0], *second[1:]]), 0)[:1])
    yield Finding("independence", None if alike else "a result changes with its neighbours or with what ran before")


def _copies(queries: Sequence[Query]) -> list[Query]:
    """The queries with videos of their own."""
    return [replace(query, sample=replace(query.sample, video=query.sample.video.clone())) for query in queries]


def _spec(method: Method) -> str | None:
    again = registry.METHODS.build(method.spec)
    return None if again.params == method.params else f"{method.spec} does not build the same method again"


def _supports(method: Method, setup: Setup, goal: Goal) -> str | None:
    generator = setup.generator_for(method)
    for wish in (goal, ClassGoal(0), ValueGoal(0.0, 1.0)):
        try:
            reason = method.supports(setup.dataset, setup.target, generator, wish)
        except Exception as error:
            return f"raises for the goal {wish}: {describe(error)}"
        if not (reason is None or (isinstance(reason, str) and reason)):
            return f"returns {reason!r} for the goal {wish}: None or a reason is wanted"
    if method.needs_generator and method.supports(setup.dataset, setup.target, None, goal) is None:
        return "needs a generator, but says nothing when there is none: call super().supports()"
    return None


def _shape(explanation: Explanation, video: Tensor) -> str | None:
    found = explanation.video
    if not isinstance(found, Tensor) or not found.is_floating_point():
        return f"the video is {getattr(found, 'dtype', type(found).__name__)}, not a tensor of floats"
    return None if found.shape == video.shape else f"a video of {tuple(found.shape)} for one of {tuple(video.shape)}"


def _range(explanation: Explanation, video: Tensor) -> str | None:
    found = explanation.video
    if not torch.isfinite(found).all():
        return "a video has NaN or infinite values"
    share = float(((found < 0) | (found > 1)).float().mean())
    span = f"from {float(found.min()):.3g} to {float(found.max()):.3g}"
    return None if share < OUTSIDE else f"{share:.0%} of the values, {span}, lie outside [0, 1]"


def _trace(explanation: Explanation, video: Tensor) -> str | None:
    if len({len(values) for values in explanation.trace.values()}) > 1:
        return "series of different lengths"
    numbers = all(np.asarray(values).dtype.kind in "fiub" for values in explanation.trace.values())
    return None if numbers else "a series is not of numbers"


def _artefacts(explanation: Explanation, video: Tensor) -> str | None:
    objects = [name for name, values in explanation.artefacts.items() if np.asarray(values).dtype.hasobject]
    return f"{objects[0]} holds Python objects: store numbers or text" if objects else None


def _evaluations(explanation: Explanation, video: Tensor) -> str | None:
    wrong = [name for name, count in explanation.evaluations.items() if not isinstance(count, int) or count < 0]
    return f"calls of {wrong[0]} are no whole number" if wrong else None


def _equal(first: Sequence[Explanation], second: Sequence[Explanation]) -> bool:
    """Whether the harness would store the same pixels."""
    pixels = ([lossless.quantise(torch.nan_to_num(e.video)) for e in side] for side in (first, second))
    return all(a.equal(b) for a, b in zip(*pixels, strict=True))
