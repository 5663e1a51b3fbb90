"""Seconds by part of a computation, and those of them that networks take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from torch.nn.modules import module as modules


class Clock:
    """Measures blocks by name; ``forward`` holds the seconds in forward passes of networks inside each block.

    Only the outermost module counts: passes of its submodules are part of it.
    """

    def __init__(self) -> None:
        self.whole: defaultdict[str, float] = defaultdict(float)
        self.forward: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds the time of the block to the part ``name``."""
        depth, began = 0, 0.0

        def enter(*_: Any) -> None:
            nonlocal depth, began
            if depth == 0:
                began = perf_counter()
            depth += 1

        def leave(*_: Any) -> None:
            nonlocal depth
            depth -= 1
            if depth == 0:
                self.forward[name] += perf_counter() - began

        hooks = [
            modules.register_module_forward_pre_hook(enter),
            modules.register_module_forward_hook(leave),
        ]
        start = perf_counter()
        try:
            yield
        finally:
            self.whole[name] += perf_counter() - start
            for hook in hooks:
                hook.remove()

    @property
    def seconds(self) -> float:
        """Of all parts."""
        return sum(self.whole.values())

    @property
    def outside(self) -> float:
        """Seconds of all parts outside forward passes."""
        return self.seconds - sum(self.forward.values())
