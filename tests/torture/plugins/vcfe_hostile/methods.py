"""A method that misbehaves on one video, and two that show whether it harmed them."""

from __future__ import annotations

import ctypes
import gc
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from pydantic.dataclasses import dataclass as validated
from torch import Tensor

from vcfe_bench.core.errors import UsageError
from vcfe_bench.goals import Goal
from vcfe_bench.interfaces import Context, Dataset, Explanation, Generator, Method, Progress, Query, Target


@validated(frozen=True, config={"extra": "forbid"})
class HostileParams:
    """``fault``: what goes wrong on the video ``on``."""

    fault: str = ""
    on: str = "light-1"
    label: str = ""


class Steady(Method):
    """Dims videos; nothing it computes depends on the state of the process."""

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        return [Explanation(dimmed(query), {"loss": [1.0]}) for query in queries]


class Lucky(Method):
    """Draws from the global random generator, and computes in the default dtype."""

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        return [Explanation(query.sample.video + 0.1 * torch.rand(query.sample.video.shape)) for query in queries]


class Hostile(Method):
    """Dims videos, except for the one on which something goes wrong."""

    Params = HostileParams
    params: HostileParams

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        match self.params.fault:
            case "supports_raises":
                raise RuntimeError("no idea")
            case "supports_exits":
                sys.exit(0)
            case "supports_false":
                return False  # type: ignore[return-value]
        return None

    def run(self, queries: Sequence[Query], context: Context) -> Any:
        query, fault = queries[0], self.params.fault
        video = dimmed(query)
        if query.sample.id != self.params.on:
            return [Explanation(video)]
        if fault in RETURNS:
            return RETURNS[fault](video)
        if fault in DEEDS:
            DEEDS[fault](query, context)
        return [Explanation(video)]


def dimmed(query: Query) -> Tensor:
    """Half of the brightness, and a little light."""
    return query.sample.video * 0.5 + 0.1


def _raised(error: BaseException) -> Callable[[Query, Context], NoReturn]:
    def deed(query: Query, context: Context) -> NoReturn:
        raise error

    return deed


class _Own(BaseException):
    """No Exception."""


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class _Unpicklable(Exception):
    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle")


def _spoiled(video: Tensor, value: float) -> list[Explanation]:
    video[0, 0, 0, 0] = value
    return [Explanation(video)]


def _late(video: Tensor) -> Any:
    yield Explanation(video)
    raise ValueError("late")


RETURNS: dict[str, Callable[[Tensor], Any]] = {
    "no_value": lambda video: None,
    "nothing": lambda video: [],
    "two": lambda video: [Explanation(video)] * 2,
    "bare": lambda video: [video],
    "tensor": lambda video: video[None],
    "text": lambda video: "video",
    "number": lambda video: 3,
    "list_of_none": lambda video: [None],
    "late": _late,
    "numpy": lambda video: [Explanation(video.numpy())],  # type: ignore[arg-type]
    "video_none": lambda video: [Explanation(None)],  # type: ignore[arg-type]
    "video_list": lambda video: [Explanation(video.tolist())],  # type: ignore[arg-type]
    "nan": lambda video: _spoiled(video, float("nan")),
    "inf": lambda video: _spoiled(video, float("inf")),
    "scale": lambda video: [Explanation(255 * video)],
    "frames": lambda video: [Explanation(video[1:])],
    "dims": lambda video: [Explanation(video[0])],
    "batched": lambda video: [Explanation(video[None])],
    "empty": lambda video: [Explanation(video[:0])],
    "uint8": lambda video: [Explanation((255 * video).to(torch.uint8))],
    "bool": lambda video: [Explanation(video > 0.2)],
    "int64": lambda video: [Explanation(video.long())],
    "complex": lambda video: [Explanation(video.to(torch.complex64))],
    "sparse": lambda video: [Explanation(video.to_sparse())],
    "meta": lambda video: [Explanation(video.to("meta"))],
    "trace_object": lambda video: [Explanation(video, {"loss": [None, "x"]})],  # type: ignore[list-item]
    "trace_ragged": lambda video: [Explanation(video, {"loss": [[1], [1, 2]]})],  # type: ignore[list-item]
    "trace_lengths": lambda video: [Explanation(video, {"loss": [1.0], "norm": [1.0, 2.0]})],
    "trace_path": lambda video: [Explanation(video, {"../../escaped": [1.0]})],
    "trace_list": lambda video: [Explanation(video, [1.0])],  # type: ignore[arg-type]
    "trace_key": lambda video: [Explanation(video, {3: [1.0]})],  # type: ignore[dict-item]
    "artefact_object": lambda video: [Explanation(video, {}, {"mask": np.array([object()])})],
    "artefact_path": lambda video: [Explanation(video, {}, {"/etc/escaped": np.ones(2)})],
    "artefact_none": lambda video: [Explanation(video, {}, {"mask": None})],  # type: ignore[dict-item]
    "artefact_tensor": lambda video: [Explanation(video, {}, {"mask": torch.ones(2)})],  # type: ignore[dict-item]
    "double": lambda video: [Explanation(video.double())],
    "half": lambda video: [Explanation(video.half())],
    "gradient": lambda video: [Explanation(video.requires_grad_() * 1.0)],
    "generator": lambda video: (Explanation(video) for _ in range(1)),
}
"""What the method returns instead."""


def _weights(query: Query, context: Context) -> None:
    for found in gc.get_objects():
        if isinstance(found, Target) and any(True for _ in found.parameters()):
            for parameter in found.parameters():
                parameter.data.view(-1)[0] += 1.0


def _training(query: Query, context: Context) -> None:
    for found in gc.get_objects():
        if isinstance(found, Target) and any(True for _ in found.parameters()):
            found.train()


def _patched(query: Query, context: Context) -> None:
    def broken(split: str, index: int) -> NoReturn:
        raise RuntimeError("patched")

    context.dataset.sample = broken  # type: ignore[method-assign, assignment]


def _forked(query: Query, context: Context) -> None:
    child = os.fork()
    if child:
        os.waitpid(child, 0)


def _reported(query: Query, context: Context) -> None:
    context.report(Progress(5, 0, float("nan")))
    context.report("x")  # type: ignore[arg-type]


def _endless(depth: int) -> int:
    return _endless(depth + 1)


DEEDS: dict[str, Callable[[Query, Context], Any]] = {
    "raise": _raised(ValueError("boom")),
    "raise_lines": _raised(ValueError("boom\nline 2\r\n\x1b[31mred\x1b[0m [bold]x[/bold] [/x] ::error::<b>")),
    "raise_long": _raised(ValueError("x" * 100_000)),
    "raise_unspeakable": _raised(_Unspeakable()),
    "raise_unpicklable": _raised(_Unpicklable("boom")),
    "exit_0": lambda query, context: sys.exit(0),
    "exit_3": lambda query, context: sys.exit(3),
    "exit_text": lambda query, context: sys.exit("bye"),
    "base": _raised(_Own("boom")),
    "generator_exit": _raised(GeneratorExit("boom")),
    "stop_iteration": _raised(StopIteration()),
    "usage": _raised(UsageError("the method says so")),
    "memory_error": lambda query, context: torch.empty(int(1e14)),
    "recursion": lambda query, context: _endless(0),
    "quit": lambda query, context: os._exit(7),
    "quit_0": lambda query, context: os._exit(0),
    "segfault": lambda query, context: ctypes.string_at(0),
    "abort": lambda query, context: os.abort(),
    "kill": lambda query, context: os.kill(os.getpid(), signal.SIGKILL),
    "terminate": lambda query, context: os.kill(os.getpid(), signal.SIGTERM),
    "hang": lambda query, context: time.sleep(100_000),
    "print": lambda query, context: print("hello\x1b[2J"),
    "close_stdout": lambda query, context: sys.stdout.close(),
    "close_stderr": lambda query, context: sys.stderr.close(),
    "seed": lambda query, context: (torch.manual_seed(9), np.random.seed(1), random.seed(1)),
    "threads": lambda query, context: torch.set_num_threads(3),
    "dtype": lambda query, context: torch.set_default_dtype(torch.float64),
    "device": lambda query, context: torch.set_default_device("meta"),
    "deterministic": lambda query, context: torch.use_deterministic_algorithms(True),
    "no_grad": lambda query, context: torch.set_grad_enabled(False),
    "inference": lambda query, context: torch.inference_mode().__enter__(),
    "autocast": lambda query, context: torch.set_autocast_enabled("cpu", True),
    "numpy_errors": lambda query, context: np.seterr(all="raise"),
    "recursion_limit": lambda query, context: sys.setrecursionlimit(250),
    "directory": lambda query, context: os.chdir("/"),
    "environment": lambda query, context: os.environ.clear(),
    "own_query": lambda query, context: query.sample.video.mul_(0),
    "dataset": _patched,
    "weights": _weights,
    "training": _training,
    "wrapper": lambda query, context: context.target.train(),
    "thread_left": lambda query, context: threading.Thread(target=time.sleep, args=(100_000,)).start(),
    "fork": _forked,
    "warn": lambda query, context: warnings.warn("the method warns", stacklevel=1),
    "progress": _reported,
    "signal_handler": lambda query, context: signal.signal(signal.SIGTERM, signal.SIG_IGN),
}
"""What the method does before it returns."""
ENDS = ("quit", "quit_0", "segfault", "abort", "kill", "terminate", "hang")
"""Deeds that end the process or never end."""
