"""The networks of a run, and the cost of their calls: on random data for small networks, else without data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from vcfe_bench.core.meter import Cost, Meter
from vcfe_bench.costs.dry_run import Call, Clip, Tally
from vcfe_bench.costs.stacks import DEPTHS, extrapolated, shortened, stacks
from vcfe_bench.plugins import registry, specs
from vcfe_bench.plugins.generator import Generator
from vcfe_bench.plugins.target import Target

SMALL = 10**9
"""Bytes of weights up to which a generator is read, so that its passes can be timed."""
REPEATS, ENOUGH = 3, 0.2
"""A pass is timed this often; fewer times if that takes longer than these seconds."""


@dataclass(frozen=True)
class Passes:
    """Operations of a forward pass, and with the backward pass (the same if there is none); peak bytes of both."""

    forward: int
    both: int
    peak: int


class Networks:
    """The generator (a spec, or None) and the target, for clips of height and width ``sides``.

    With ``timed``, the generator is built with its weights, and its calls are made on random data; operations and
    memory are those of one video, times the batch. Otherwise, calls are made on tensors without data, and no weights
    are needed if the generator's class can do without (``sketch``).
    """

    def __init__(self, generator: str | None, target: Target, sides: tuple[int, int], timed: bool = False) -> None:
        self.timed = timed
        self.target = target
        self.sides = sides
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.generator = None if generator is None else self._build(generator)
        self._passes: dict[tuple[Call, int, bool], Passes] = {}
        self._seconds: dict[tuple[Call, int, bool], tuple[float, float]] = {}

    @property
    def dtype(self) -> str:
        """Of the generator's transformer."""
        return str(getattr(getattr(self.generator, "params", None), "dtype", "float32"))

    def _mode(self) -> AbstractContextManager[object]:
        return nullcontext() if self.timed else self._fake

    def _build(self, spec: str) -> Generator:
        name, given = specs.parse(spec)
        cls: Any = registry.GENERATORS.load(name)
        if self.timed or not hasattr(cls, "sketch"):
            return registry.GENERATORS.build(spec)
        with self._mode():
            sketch: Generator = cls.sketch(registry.GENERATORS.parameters(cls, name, given))
        sketch.spec = spec
        return sketch

    def weights(self) -> dict[str, int]:
        """Bytes of the weights of each network."""
        networks: dict[str, nn.Module] = {"target": self.target, **self._networks()}
        return {
            name: sum(p.numel() * p.element_size() for p in [*net.parameters(), *net.buffers()])
            for name, net in networks.items()
        }

    def _networks(self) -> Mapping[str, nn.Module]:
        return self.generator.networks() if self.generator is not None else {}

    def cost(self, call: Call, batch: int, backward: bool) -> Cost:
        """Cost of a call on ``batch`` videos, forward only or with the backward pass."""
        passes = self._measured(call, batch, backward)
        return Cost(passes.both, passes.peak)

    def seconds(self, call: Call, batch: int, backward: bool) -> tuple[float, float]:
        """Seconds of a call on ``batch`` videos: of its forward pass, and of both passes (the same if not backward)."""
        assert self.timed
        key = (call, batch, backward)
        if key not in self._seconds:
            network, inputs = self._call(call, batch)
            times: list[tuple[float, float]] = []
            while len(times) < REPEATS and sum(both for _, both in times) < ENOUGH:
                times.append(_clocked(network, inputs, backward))
            self._seconds[key] = median(time[0] for time in times), median(time[1] for time in times)
        return self._seconds[key]

    def _known(self, call: Call, batch: int, backward: bool) -> Passes:
        """As ``_measured``, but with the forward pass of a call whose both passes are known."""
        both = self._passes.get((call, 1 if self.timed else batch, True))
        if backward or both is None:
            return self._measured(call, batch, backward)
        forward = both.forward * (batch if self.timed else 1)
        return Passes(forward, forward, both.peak)

    def _measured(self, call: Call, batch: int, backward: bool) -> Passes:
        key = (call, batch, backward)
        if key not in self._passes:
            with self._mode():
                self._passes[key] = self._measure(call, batch, backward)
        return self._passes[key]

    def _measure(self, call: Call, batch: int, backward: bool) -> Passes:
        if self.timed and batch > 1:
            one = self._measured(call, 1, backward)
            return Passes(batch * one.forward, batch * one.both, batch * one.peak)
        network, inputs = self._call(call, batch)
        deep = [] if self.timed or call.network != "velocity" else stacks(self._networks().values())
        if not deep:
            return _metered(network, inputs, backward)
        depth, measured = len(deep[0]), []
        for blocks in DEPTHS:
            with shortened(deep, blocks):
                measured.append(_metered(network, inputs, backward))
        shallow, deeper = measured
        return Passes(
            extrapolated(shallow.forward, deeper.forward, depth),
            extrapolated(shallow.both, deeper.both, depth),
            extrapolated(shallow.peak, deeper.peak, depth),
        )

    def _call(self, call: Call, batch: int) -> tuple[Callable[[Tensor], object], Tensor]:
        """A call as a function of its differentiable input, and an input of random numbers."""
        shape = (call.frames, *self.sides)
        video = torch.rand(batch, call.frames, 3, *self.sides)
        if call.network == "target":
            return self.target, video
        assert self.generator is not None
        generator = self.generator
        if call.network == "encode":
            return generator.encode, video
        if call.network == "condition":
            return lambda _: generator.condition(None, shape), video
        latent = torch.randn(batch, *generator.latent_shape(shape))
        if call.network == "decode":
            return generator.decode, latent
        condition = generator.condition(None, shape)
        return lambda z: generator.velocity(z, 0.5, condition), latent

    def flops(self, tally: Tally) -> dict[str, float]:
        """Operations of all calls of a tally, by network."""
        return self._total(tally, lambda *key: (self._known(*key).forward, self._known(*key).both))

    def times(self, tally: Tally) -> dict[str, float]:
        """Seconds of all calls of a tally, by network."""
        return self._total(tally, self.seconds)

    def _total(self, tally: Tally, costs: Callable[[Call, int, bool], tuple[float, float]]) -> dict[str, float]:
        total: dict[str, float] = defaultdict(float)
        for call, videos in tally.forward.items():
            batch, videos_back = tally.batch[call], tally.backward[call]
            forward, both = costs(call, batch, videos_back > 0)
            share = 1 if call.network == "condition" else batch
            total[call.network] += ((videos - videos_back) * forward + videos_back * both) / share
        return total

    def peaks(self, tallies: Sequence[Tally], only: Sequence[str] = ()) -> dict[str, int]:
        """Peak memory in bytes of each network (or of ``only`` some) besides its weights, over all tallies.

        A forward pass needs no more than both passes on the same batch, so that it is measured only without them.
        """
        wanted = dict.fromkeys(
            (call, tally.batch[call], tally.backward[call] > 0)
            for tally in tallies
            for call in tally.forward
            if not only or call.network in only
        )
        peaks: dict[str, int] = {}
        for call, batch, backward in wanted:
            if backward or not any(both and c == call and size >= batch for c, size, both in wanted):
                peak = self._measured(call, batch, backward).peak
                peaks[call.network] = max(peaks.get(call.network, 0), peak)
        return peaks


def small(generator: str | None) -> bool:
    """Whether a generator is here and small enough for its passes to be timed.

    One that cannot do without its weights is here; of others, the pipeline has to be a folder of up to ``SMALL`` bytes.
    """
    if generator is None:
        return True
    name, given = specs.parse(generator)
    cls: Any = registry.GENERATORS.load(name)
    if not hasattr(cls, "sketch"):
        return True
    folder = Path(cls.full(registry.GENERATORS.parameters(cls, name, given)).path)
    return folder.is_dir() and 0 < sum(file.stat().st_size for file in folder.rglob("*.safetensors")) <= SMALL


def pixels(clip: Clip) -> int:
    """Number of pixels of a clip ``(T, H, W)``."""
    frames, height, width = clip
    return frames * height * width


def _metered(network: Callable[[Tensor], object], inputs: Tensor, backward: bool) -> Passes:
    with Meter() as meter:
        forward = _run(network, inputs, backward, lambda: meter.flops)
    return Passes(int(forward), meter.flops, meter.peak)


def _clocked(network: Callable[[Tensor], object], inputs: Tensor, backward: bool) -> tuple[float, float]:
    start = perf_counter()
    between = _run(network, inputs, backward, _now)
    return between - start, _now() - start


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter()


def _run(
    network: Callable[[Tensor], object], inputs: Tensor, backward: bool, between: Callable[[], float] = perf_counter
) -> float:
    """A forward pass, and the gradient with respect to ``inputs`` if ``backward``; what ``between`` returns then."""
    inputs = inputs.detach().requires_grad_(backward)
    with torch.set_grad_enabled(backward):
        outputs: Any = network(inputs)
        middle = between()
        if backward:
            torch.autograd.grad(outputs.sum(), inputs)
    return middle
