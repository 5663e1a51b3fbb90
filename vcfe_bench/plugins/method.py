"""Methods: what they are asked, what they may use, and what they return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from vcfe_bench.goals import Goal
from vcfe_bench.plugins.base import Plugin
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.target import Target


@dataclass(frozen=True)
class Query:
    """One question to a method: change ``sample`` so that the target meets ``goal``.

    ``seed`` is derived from the run's base seed, the sample and the method; a method draws all its
    randomness from ``generator(component)``.
    """

    sample: Sample
    goal: Goal
    seed: int

    def generator(self, component: str = "") -> torch.Generator:
        """A fresh CPU generator for one component of the method (``"noise"``, ``"start"``, …)."""
        from vcfe_bench.core.seeds import derive

        return torch.Generator().manual_seed(derive(self.seed, component))


@dataclass(frozen=True)
class Explanation:
    """What a method returns for one query.

    Attributes:
        video: the counterfactual, ``[T, 3, H, W]``; values outside [0, 1] are clamped by the harness.
        trace: per-iteration series by name (losses, probabilities, norms), all of one length.
        artefacts: named arrays beside the video (masks, tubes), stored and hashed like it.
        evaluations: calls by network, e.g. ``{"target": 10, "generator": 120}`` per video.
    """

    video: Tensor
    trace: Mapping[str, Sequence[float]] = field(default_factory=dict)
    artefacts: Mapping[str, np.ndarray] = field(default_factory=dict)
    evaluations: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """One tick of a method at work, for the progress display."""

    iteration: int
    total: int
    loss: float | None = None


@dataclass(frozen=True)
class Context:
    """What a method may use to answer a query."""

    dataset: Dataset
    target: Target
    generator: Generator | None = None
    report: Callable[[Progress], None] = lambda progress: None


class Method(Plugin, ABC):
    """A way to make counterfactuals. Authors write ``run``; the harness decides success on the stored result."""

    width: int = 1
    """Micro-batch width: ``run`` always gets exactly this many queries (short batches are padded with repetitions). A
    parameter of the same name, where a method has one, decides."""
    needs_generator: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named parameter sets, chosen with ``--preset``; inline parameters win over them."""
    fingerprint: str = ""
    """Hash of what the method has learned (weights it carries), part of every record's identity."""

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.width = getattr(self.params, "width", self.width)

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        """None when the combination works, otherwise the reason, which becomes a "skipped" row."""
        if self.needs_generator and generator is None:
            return "needs a generator"
        return None

    def fit(
        self, dataset: Dataset, target: Target, folder: Path, steps: int, log: Callable[[str], None] = print
    ) -> dict[str, Tensor]:
        """Train what the method carries for a dataset and a frozen target, in ``steps`` updates.

        An interrupted training goes on from ``folder``. Returns the weights by name, for a file that the method reads.

        Raises:
            NotImplementedError: the method learns nothing.
            UsageError: it cannot explain this target on this dataset.
        """
        raise NotImplementedError(f"method '{self.spec}' has nothing to train")

    @abstractmethod
    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        """One explanation per query, in order. Result ``i`` depends on query ``i`` alone."""

    def answer(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        """One explanation per query, however many: ``run`` in micro-batches, the last padded with repetitions."""
        explanations: list[Explanation] = []
        for first in range(0, len(queries), self.width):
            part = list(queries[first : first + self.width])
            explanations += self.run((part * self.width)[: self.width], context)[: len(part)]
        return explanations
