"""The networks of a run without data, and the cost of their calls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from vcfe_bench.core.meter import Cost, measure
from vcfe_bench.costs.dry_run import Call, Tally
from vcfe_bench.plugins import registry, specs
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.target import Target


class Networks:
    """The generator (a spec, or None) and the target, for clips of height and width ``sides``.

    The generator is built on tensors without data if its class can be (``sketch``); its weights are not needed then.
    """

    def __init__(self, generator: str | None, target: Target, sides: tuple[int, int]) -> None:
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.target = target
        self.sides = sides
        self.generator = None if generator is None else self._sketch(generator)
        self._costs: dict[tuple[Call, int, bool], Cost] = {}

    def _sketch(self, spec: str) -> Generator:
        name, given = specs.parse(spec)
        cls: Any = registry.GENERATORS.load(name)
        if not hasattr(cls, "sketch"):
            return registry.GENERATORS.build(spec)
        with self.mode:
            sketch: Generator = cls.sketch(registry.GENERATORS.parameters(cls, name, given))
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

    def cost(self, call: Call, batch: int, backward: bool) -> Cost:
        """Cost of a call on ``batch`` videos, forward only or with the backward pass."""
        key = (call, batch, backward)
        if key not in self._costs:
            with self.mode:
                self._costs[key] = self._measure(call, batch, backward)
        return self._costs[key]

    def _measure(self, call: Call, batch: int, backward: bool) -> Cost:
        shape = (call.frames, *self.sides)
        video = torch.rand(batch, call.frames, 3, *self.sides)
        if call.network == "target":
            return _passes(self.target, video, backward)
        assert self.generator is not None
        generator = self.generator
        if call.network == "encode":
            return measure(lambda: generator.encode(video))
        if call.network == "condition":
            return measure(lambda: generator.condition(None, shape))
        latent = torch.randn(batch, *generator.latent_shape(shape))
        if call.network == "decode":
            return _passes(generator.decode, latent, backward)
        condition = generator.condition(None, shape)
        return _passes(lambda z: generator.velocity(z, 0.5, condition), latent, backward)

    def flops(self, tally: Tally) -> dict[str, float]:
        """Operations of all calls of a tally, by network."""
        total: dict[str, float] = defaultdict(float)
        for call, videos in tally.forward.items():
            batch = tally.batch[call]
            forward = self.cost(call, batch, backward=False).flops
            total[call.network] += videos * forward / (1 if call.network == "condition" else batch)
            if videos_back := tally.backward[call]:
                both = self.cost(call, batch, backward=True).flops
                total[call.network] += videos_back * (both - forward) / batch
        return total

    def peaks(self, tallies: Sequence[Tally], only: Sequence[str] = ()) -> dict[str, int]:
        """Peak memory in bytes of each network (or of ``only`` some) besides its weights, over all tallies."""
        peaks: dict[str, int] = {}
        for tally in tallies:
            for call in tally.forward:
                if not only or call.network in only:
                    cost = self.cost(call, tally.batch[call], backward=call in tally.backward)
                    peaks[call.network] = max(peaks.get(call.network, 0), cost.peak)
        return peaks


def _passes(network: Callable[[Tensor], Tensor], inputs: Tensor, backward: bool) -> Cost:
    """Cost of a forward pass, and of the gradient with respect to ``inputs`` if ``backward``."""
    if not backward:
        with torch.no_grad():
            return measure(lambda: network(inputs))
    inputs.requires_grad_()
    return measure(lambda: torch.autograd.grad(network(inputs).sum(), inputs))
