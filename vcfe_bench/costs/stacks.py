"""Costs of deep networks from shallow ones: stacks of equal blocks are measured at two depths and extrapolated.

Operations are linear in the number of equal blocks. So is peak memory once the stack dominates it: each further block
keeps the same activations (all of them, or its inputs where they are recomputed).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn

DEPTHS = (4, 6)
"""Numbers of blocks at which a stack is measured."""
DEEP = 12
"""Smallest number of blocks of a stack that is not measured as a whole."""


def stacks(networks: Iterable[nn.Module]) -> list[nn.ModuleList]:
    """The deepest lists of at least ``DEEP`` equal modules; empty if there is none."""
    found = [
        module
        for network in networks
        for module in network.modules()
        if isinstance(module, nn.ModuleList) and len(module) >= DEEP and len({_kind(block) for block in module}) == 1
    ]
    deepest = max(map(len, found), default=0)
    return [stack for stack in found if len(stack) == deepest]


@contextmanager
def shortened(stacks: Iterable[nn.ModuleList], depth: int) -> Iterator[None]:
    """Let each of the stacks have only its first ``depth`` blocks inside the block."""
    kept = [(stack, list(stack)) for stack in stacks]
    for stack, blocks in kept:
        stack._modules = {str(index): block for index, block in enumerate(blocks[:depth])}
    try:
        yield
    finally:
        for stack, blocks in kept:
            stack._modules = {str(index): block for index, block in enumerate(blocks)}


def extrapolated(shallow: int, deep: int, depth: int) -> int:
    """A quantity at ``depth`` blocks from its values at the two ``DEPTHS``."""
    return deep + (deep - shallow) * (depth - DEPTHS[1]) // (DEPTHS[1] - DEPTHS[0])


def _kind(block: nn.Module) -> tuple[object, ...]:
    return type(block), tuple((name, weight.shape, weight.dtype) for name, weight in block.named_parameters())
