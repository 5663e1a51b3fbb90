"""Notices forward passes of a run's networks that were not charged to any query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from vcfe_bench.plugins.calls import Calls


@dataclass
class Uncharged:
    """Whether a network was called in a way that was not charged."""

    seen: bool = False

    @property
    def reason(self) -> str:
        """Why a method that made such calls has no result; empty if there were none."""
        return "called a network past the account: call context.target and context.generator only" if self.seen else ""


@contextmanager
def watched(networks: Iterable[nn.Module], calls: Calls) -> Iterator[Uncharged]:
    """Notice forward passes of ``networks``, or of their parts, inside the block that ``calls`` does not charge.

    Parts are watched down to the second level. Compiled parts are not, because hooks would be compiled with them. Parts
    that a network recomputes during a backward pass belong to a call that was charged.
    """
    uncharged = Uncharged()

    def note(*_: object) -> None:
        if not calls.charging and torch._C._current_graph_task_id() == -1:
            uncharged.seen = True

    hooks = [part.register_forward_pre_hook(note) for part in _parts(networks)]
    try:
        yield uncharged
    finally:
        for hook in hooks:
            hook.remove()


def _parts(networks: Iterable[nn.Module]) -> Iterator[nn.Module]:
    parts = {part: None for network in networks for name, part in network.named_modules() if name.count(".") < 2}
    return (part for part in parts if part._compiled_call_impl is None)
