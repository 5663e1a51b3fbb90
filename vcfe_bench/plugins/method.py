"""Methods: the query they get, the context they may use, and the explanation they return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from vcfe_bench.goals import Goal
from vcfe_bench.plugins.base import Plugin
from vcfe_bench.plugins.calls import Calls
from vcfe_bench.plugins.dataset import Dataset, Sample
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.search_space import SearchSpace
from vcfe_bench.plugins.target import Target


@dataclass(frozen=True)
class Query:
    """One query to a method: change ``sample`` so that the target's prediction meets ``goal``.

    ``seed`` is derived from the run's base seed, the sample and the method. A method draws all its random numbers from
    ``generator(component)``.
    """

    sample: Sample
    goal: Goal
    seed: int

    def generator(self, component: str = "") -> torch.Generator:
        """A newly seeded CPU random generator for one component of the method (``"noise"``, ``"start"``, …)."""
        from vcfe_bench.core.seeds import derive

        return torch.Generator().manual_seed(derive(self.seed, component))


@dataclass(frozen=True)
class Explanation:
    """The result of a method for one query.

    Attributes:
        video: the counterfactual, ``[T, 3, H, W]``; the harness clamps values outside [0, 1].
        trace: per-iteration series by name (losses, probabilities, norms), all of the same length.
        artefacts: further named arrays (masks, tubes), stored and hashed like the video.
    """

    video: Tensor
    trace: Mapping[str, Sequence[float]] = field(default_factory=dict)
    artefacts: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """An update on a running method, for the progress display."""

    iteration: int
    total: int
    loss: float | None = None


@dataclass(frozen=True)
class Context:
    """The networks and the dataset that a method may use.

    In a run, every call of ``target`` and ``generator`` is charged to the query with the same row number, and so is
    every backward pass through it. A call whose rows are not those of the batch of queries stands inside ``rows``.

    Attributes:
        report: takes updates for the display.
        calls: what has been spent on each query, what is left of its budget, and what a call costs.
    """

    dataset: Dataset
    target: Target
    generator: Generator | None = None
    report: Callable[[Progress], None] = lambda progress: None
    calls: Calls = field(default_factory=Calls)

    def rows(self, indices: Sequence[int | None]) -> AbstractContextManager[None]:
        """Inside the block, row i of every call is for the query ``indices[i]``.

        None stands for a row whose output is not needed, for example that of a query which is already answered and
        stays in the batch so that no result depends on its neighbours. It is charged to no query, and its output is
        zero.

        Raises:
            ValueError: an index is not that of a query, or a call inside the block has another number of rows.
        """
        return self.calls.rows(indices)


class Method(Plugin, ABC):
    """A method that generates counterfactuals.

    Authors implement ``run``. Whether a counterfactual is successful is decided by the harness, on the stored video.
    """

    width: int = 1
    """Micro-batch width: ``run`` always gets exactly this many queries; short batches are padded with repetitions. If
    ``Params`` has a field of this name, its value is used."""
    needs_generator: ClassVar[bool] = False
    """Whether the method uses ``context.generator``."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named parameter sets, selected with ``--preset``; parameters in the spec override them. A set that is named
    ``PRESET_TARGET`` is used in place of ``PRESET`` for the target of that name."""
    search_space: ClassVar[SearchSpace] = {}
    """The range of each parameter that ``vcfe-bench tune`` may set, at most ``MOST``; empty if nothing is to tune."""
    fingerprint: str = ""
    """Hash of the method's own trained weights, if any; part of the identity of every record."""

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.width = getattr(self.params, "width", self.width)

    def supports(self, dataset: Dataset, target: Target, generator: Generator | None, goal: Goal) -> str | None:
        """None if the method supports the combination, else the reason, which is recorded with the skipped query."""
        if self.needs_generator and generator is None:
            return "needs a generator"
        return None

    def fit(
        self, dataset: Dataset, target: Target, folder: Path, steps: int, log: Callable[[str], None] = print
    ) -> dict[str, Tensor]:
        """Train the method's own weights for a dataset and a frozen target, in ``steps`` updates.

        An interrupted training resumes from ``folder``. Returns the weights by name; they are saved to a file that the
        method reads.

        Raises:
            NotImplementedError: the method has no weights of its own.
            UsageError: the method cannot explain this target on this dataset.
        """
        raise NotImplementedError(f"method '{self.spec}' has nothing to train")

    @abstractmethod
    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        """One explanation per query, in order. Result ``i`` depends only on query ``i``."""

    def answer(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        """One explanation per query, for any number of queries: calls ``run`` in micro-batches, the last one padded."""
        explanations: list[Explanation] = []
        for first in range(0, len(queries), self.width):
            part = list(queries[first : first + self.width])
            explanations += self.run((part * self.width)[: self.width], context)[: len(part)]
        return explanations
