"""Notices that the networks of a run were changed, and changes them back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vcfe_bench.core.errors import UsageError

ROW = 512
"""Words whose sum is weighted together."""


@dataclass(frozen=True)
class Watched:
    """A network of a run and the way to build it again."""

    name: str
    network: nn.Module
    build: Callable[[], nn.Module]


class NetworkGuard:
    """Compares networks with their state at the time of its construction: every weight, buffer and mode."""

    def __init__(self, watched: Mapping[str, Watched]) -> None:
        self.watched = watched
        self.states = {key: _state(each.network) for key, each in watched.items()}

    def restore(self) -> list[str]:
        """Bring changed networks back to their state; the names of what had changed.

        Raises:
            UsageError: a network that was changed cannot be built as it was.
        """
        changed = []
        for key, each in self.watched.items():
            if _state(each.network) != self.states[key]:
                changed.append(each.name)
                self._rebuild(each, key)
        return changed

    def _rebuild(self, watched: Watched, key: str) -> None:
        network, fresh = watched.network, watched.build()
        with torch.no_grad():
            network.load_state_dict(fresh.state_dict(), strict=False)
        for mine, its in zip(network.modules(), fresh.modules(), strict=False):
            mine.training = its.training
        for parameter, wanted in zip(network.parameters(), fresh.parameters(), strict=False):
            parameter.requires_grad_(wanted.requires_grad)
        if _state(network) != self.states[key]:
            raise UsageError(
                f"the {watched.name} were changed while they were in use, and cannot be restored: run again"
            )


def _state(network: nn.Module) -> tuple[object, ...]:
    """All that can be changed in a network, in short: names, modes and checksums of its weights and buffers."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    sums = [(name, tensor.dtype, tuple(tensor.shape), tensor.requires_grad) for name, tensor in tensors.items()]
    modes = tuple(module.training for module in network.modules())
    return modes, tuple(sums), tuple(map(checksum, tensors.values()))


def checksum(tensor: Tensor) -> int:
    """The sum modulo 2⁶⁴ of all 8-byte words of a tensor, in rows of ``ROW`` that are weighted by odd numbers.

    A change of a single value always changes it, and so does an exchange of two unless it is within a row. A tensor
    that holds nothing (on the device ``meta``) has 0.
    """
    if tensor.is_meta:
        return 0
    data = tensor.detach().reshape(-1).contiguous().view(torch.uint8)
    whole = len(data) // (8 * ROW) * 8 * ROW
    rest = data[whole:].long()
    total = (rest * torch.arange(1, len(rest) + 1, device=data.device)).sum()
    if whole:
        words = data[:whole].clone() if data.storage_offset() % 8 else data[:whole]
        rows = words.view(torch.int64).view(-1, ROW).sum(dim=1)
        total = total + (rows * (2 * torch.arange(len(rows), device=data.device) + 1)).sum()
    return int(total)
