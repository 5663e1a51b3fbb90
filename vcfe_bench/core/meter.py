"""Measures the arithmetic and the peak memory of torch code, also on tensors without data."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakIdKeyDictionary

aten = torch.ops.aten

FORMULAS: Mapping[Any, Callable[..., int]] = {
    **flop_registry,
    aten._scaled_dot_product_flash_attention_for_cpu: flop_registry[aten._scaled_dot_product_flash_attention],
    aten._scaled_dot_product_flash_attention_for_cpu_backward: flop_registry[
        aten._scaled_dot_product_flash_attention_backward
    ],
}
"""Floating-point operations by operator: those of torch, and flash attention on the CPU, which counts as on a GPU."""


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context that counts floating-point operations (``flops``) and the largest number of bytes allocated (``peak``).

    Storages on the ``meta`` device do not count. (``FlopCounterMode`` is not used because its module hooks keep tensors
    alive.)
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = self.held = self.peak = 0
        self._known: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for tensor in _tensors((args, kwargs)):
            self._known[tensor.untyped_storage()] = True
        result = func(*args, **kwargs)
        if formula := FORMULAS.get(func._overloadpacket):
            self.flops += formula(*args, **kwargs, out_val=result)
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if tensor.device.type != "meta" and storage not in self._known:
                self._known[storage] = True
                self._add(storage.nbytes())
                weakref.finalize(storage, self._add, -storage.nbytes())
        return result

    def _add(self, size: int) -> None:
        self.held += size
        self.peak = max(self.peak, self.held)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_iter(tree) if isinstance(leaf, Tensor)]


@dataclass(frozen=True)
class Cost:
    """Floating-point operations, and the largest number of bytes allocated beyond those allocated before."""

    flops: int
    peak: int


def measure(work: Callable[[], object]) -> Cost:
    """Cost of calling ``work``."""
    with Meter() as meter:
        work()
    return Cost(meter.flops, meter.peak)
