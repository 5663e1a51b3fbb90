"""Parts of a plan that are run on different machines, each into a directory of its own."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass, replace

from vcfe_bench.core.errors import UsageError
from vcfe_bench.runs.plan import Plan, Task


@dataclass(frozen=True)
class Shard:
    """The part ``index`` (from 1) of ``count`` parts."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard of a text such as ``2/8``.

        Raises:
            UsageError: it is not of this form, or there is no such part.
        """
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"--shard is a part and the number of parts, such as 2/8, not '{text}'")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def of(self, plan: Plan) -> Plan:
        """The part of a plan that belongs to this shard; every task belongs to one of the ``count`` shards.

        Micro-batches stay whole. Those of a method are dealt out in the order of a hash of their tasks, so that every
        shard gets as many of each method, up to one, and the same ones wherever and whenever it is asked.
        """
        mine = {id for batches in _by_method(plan).values() for id in self._dealt(batches)}
        return replace(plan, tasks=tuple(task for task in plan.tasks if task.id in mine))

    def _dealt(self, batches: list[list[Task]]) -> list[str]:
        first = int(_digest(batches[0][0].method), 16)  # where the dealing starts differs between methods
        ordered = sorted(batches, key=lambda batch: _digest(*sorted(task.id for task in batch)))
        dealt = [batch for number, batch in enumerate(ordered, first) if number % self.count == self.index - 1]
        return [task.id for batch in dealt for task in batch]


def _by_method(plan: Plan) -> dict[str, list[list[Task]]]:
    """The tasks of each micro-batch, by method."""
    packed: dict[str, dict[tuple[int, int], list[Task]]] = defaultdict(lambda: defaultdict(list))
    for task in plan.tasks:
        packed[task.method][task.batch].append(task)
    return {method: list(batches.values()) for method, batches in packed.items()}


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
