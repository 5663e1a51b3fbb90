"""Arithmetic and memory of network calls, measured on tensors without data."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count
from torch.utils.weak import WeakIdKeyDictionary

from vcfe_bench.costs.rehearsal import Call, Tally
from vcfe_bench.plugins import registry, specs
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.target import Target


class Meter(TorchDispatchMode):
    """Counts operations meanwhile, as ``flops``, and the most bytes held at a time by storages made, as ``peak``.

    Storages on the ``meta`` device count nothing. (``FlopCounterMode`` keeps tensors alive by the hooks that tell it in
    which module it is; its formulas are used without it.)
    """

    def __init__(self) -> None:
        super().__init__()
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


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _attention_backward(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(gradient.shape, query.shape, key.shape, value.shape)


FORMULAS: Mapping[Any, Callable[..., int]] = {
    **flop_registry,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""Operations of a call by operator; torch knows all but the attention that stands for a GPU's here."""


@dataclass(frozen=True)
class Price:
    """Of one call on a batch: operations, and the most bytes held beyond what was there before."""

    flops: int
    peak: int


def measure(work: Callable[[], object]) -> Price:
    """Arithmetic and peak memory of ``work``, with whatever tensors it uses, those without data too."""
    with Meter() as meter:
        work()
    return Price(meter.flops, meter.peak)


class Networks:
    """The networks of a run without data, which can be asked for the price of a call on clips of height and width.

    ``generator`` is a spec, or None.
    """

    def __init__(self, generator: str | None, target: Target, sides: tuple[int, int]) -> None:
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.target = target
        self.sides = sides
        self.generator = generator if generator is None else self._sketch(generator)
        self._prices: dict[tuple[Call, int, bool], Price] = {}

    def _sketch(self, spec: str) -> Generator:
        name, given = specs.parse(spec)
        cls: Any = registry.GENERATORS.load(name)
        if not hasattr(cls, "sketch"):
            return registry.GENERATORS.build(spec)
        with self.mode:
            sketch = cls.sketch(registry.GENERATORS.parameters(cls, name, given))
        sketch.spec = spec
        return sketch

    def weights(self) -> dict[str, int]:
        """Bytes of the weights of each network."""
        networks: dict[str, nn.Module] = {"target": self.target}
        model = getattr(self.generator, "model", None)
        networks |= model.networks() if model is not None else {}
        return {
            name: sum(p.numel() * p.element_size() for p in [*net.parameters(), *net.buffers()])
            for name, net in networks.items()
        }

    def price(self, call: Call, batch: int, backward: bool) -> Price:
        """Of a call on ``batch`` videos, with or without the way back."""
        key = (call, batch, backward)
        if key not in self._prices:
            with self.mode:
                self._prices[key] = self._price(call, batch, backward)
        return self._prices[key]

    def _price(self, call: Call, batch: int, backward: bool) -> Price:
        shape = (call.frames, *self.sides)
        video = torch.rand(batch, call.frames, 3, *self.sides)
        if call.network == "target":
            return both_ways(self.target, video, backward)
        assert self.generator is not None
        generator = self.generator
        if call.network == "encode":
            return measure(lambda: generator.encode(video))
        if call.network == "condition":
            return measure(lambda: generator.condition(None, shape))
        latent = torch.randn(batch, *generator.latent_shape(shape))
        if call.network == "decode":
            return both_ways(generator.decode, latent, backward)
        condition = generator.condition(None, shape)
        return both_ways(lambda z: generator.velocity(z, 0.5, condition), latent, backward)

    def flops(self, tally: Tally) -> dict[str, float]:
        """Operations of a tally by network, of all its videos."""
        total: dict[str, float] = defaultdict(float)
        for call, rows in tally.forward.items():
            batch = tally.batch[call]
            ahead = self.price(call, batch, backward=False).flops
            total[call.network] += rows * ahead / (1 if call.network == "condition" else batch)
            if back := tally.backward[call]:
                total[call.network] += back * (self.price(call, batch, backward=True).flops - ahead) / batch
        return total

    def peaks(self, tallies: Sequence[Tally], only: Sequence[str] = ()) -> dict[str, int]:
        """Most bytes that each network (or ``only`` some) holds beside its weights in any of the tallies."""
        found: dict[str, int] = {}
        for tally in tallies:
            for call in tally.forward:
                if not only or call.network in only:
                    price = self.price(call, tally.batch[call], backward=call in tally.backward)
                    found[call.network] = max(found.get(call.network, 0), price.peak)
        return found


def both_ways(network: Callable[[Tensor], Tensor], inputs: Tensor, backward: bool) -> Price:
    if not backward:
        with torch.no_grad():
            return measure(lambda: network(inputs))
    inputs.requires_grad_()
    return measure(lambda: torch.autograd.grad(network(inputs).sum(), inputs))
