"""What a run will cost, told before it starts: network evaluations, arithmetic, hours, and peak memory by part.

Two rehearsals without weights. First each method runs on a generator and a target that only count; the target never
says what the goal asks, so that methods that stop early are counted to their end. Then each kind of call that was
counted is made once by the real networks on tensors without data: every operation tells its arithmetic, every storage
its size. What is left out: the allocator's own needs, for which ``RESERVE`` is added, and latents and videos of the
method itself, which do not lie on the generator's device.
"""

from __future__ import annotations

import functools
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count
from torch.utils.weak import WeakIdKeyDictionary

from vcfe_bench import plugins, request, specs
from vcfe_bench.errors import UsageError, nearest
from vcfe_bench.goals import ClassGoal, Goal, ValueGoal
from vcfe_bench.interfaces import Context, Generator, Method, Query, Target
from vcfe_bench.questions import Asked
from vcfe_bench.request import Request, Setup

RESERVE = 1.1
"""Memory held for every byte in use: caching allocators and kernels' workspaces take 5 to 15 % more."""
UTILISATION = 0.4
"""Share of a GPU's peak that large transformers and 3-D convolutions reach in practice."""
CHANGES = (
    {"activations": "recompute"},
    {"activations": "offload"},
    {"activations": "recompute", "storage": "float8"},
    {"activations": "offload", "storage": "float8"},
)
"""Settings of a generator that need less memory, the cheapest in time first."""

Clip = tuple[int, int, int]


@dataclass(frozen=True)
class GPU:
    """``memory`` in GB (10⁹ bytes); peaks in TFLOP/s without sparsity: ``half`` of 16-bit types, ``single`` of TF32."""

    memory: float
    half: float
    single: float


GPUS: Mapping[str, GPU] = {
    "a100-40gb": GPU(42.9, 312, 156),
    "a100-80gb": GPU(85.9, 312, 156),
    "h100-80gb": GPU(85.9, 989, 494),
    "h200-141gb": GPU(151.4, 989, 494),
    "l40s-48gb": GPU(51.5, 362, 183),
    "rtx4090-24gb": GPU(25.8, 165, 83),
}
"""NVIDIA's data sheets of the SXM parts and of the named cards."""


@dataclass(frozen=True)
class Call:
    """A kind of call on clips of ``frames``: ``velocity``, ``decode``, ``encode``, ``condition`` or ``target``."""

    network: str
    frames: int


@dataclass
class Tally:
    """How many videos went through each kind of call, forwards and backwards, and how many at once at most."""

    forward: Counter[Call] = field(default_factory=Counter)
    backward: Counter[Call] = field(default_factory=Counter)
    batch: dict[Call, int] = field(default_factory=dict)

    def count(self, tensor: Tensor, call: Call) -> Tensor:
        """``tensor``, counted now and when its gradient comes back."""
        self.batch[call] = max(self.batch.get(call, 0), len(tensor))
        return _Counted.apply(tensor, self, call)


class _Counted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, tally: Tally, call: Call) -> Tensor:
        ctx.tally, ctx.call = tally, call
        tally.forward[call] += len(tensor)
        return tensor.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        ctx.tally.backward[ctx.call] += len(gradients[0])
        return gradients[0], None, None


class CountingGenerator(Generator):
    """Has the shapes and noise levels of ``real``, on frames of ``side``, and counts what it is asked for."""

    def __init__(self, real: Generator, tally: Tally, side: int) -> None:
        super().__init__()
        self.real = real
        self.constraints = real.constraints
        self.tally = tally
        self.side = side

    def encode(self, video: Tensor) -> Tensor:
        video = self.tally.count(video, Call("encode", video.shape[1]))
        size = self.latent_shape((video.shape[1], *video.shape[3:]))
        latent = F.adaptive_avg_pool3d(video.mean(dim=2)[:, None], size[1:])
        return latent.expand(-1, size[0], -1, -1, -1).clone()

    def decode(self, latent: Tensor) -> Tensor:
        frames = self._frames(latent)
        latent = self.tally.count(latent, Call("decode", frames))
        video = F.interpolate(latent.mean(dim=1, keepdim=True), (frames, self.side, self.side))
        return video.transpose(1, 2).expand(-1, -1, 3, -1, -1)

    def condition(self, first_frame: Tensor | None, shape: Clip) -> None:
        self.tally.count(torch.zeros(1 if first_frame is None else len(first_frame)), Call("condition", shape[0]))

    def velocity(self, latent: Tensor, sigma: float, condition: Any) -> Tensor:
        return self.tally.count(latent, Call("velocity", self._frames(latent))) / 2

    def _frames(self, latent: Tensor) -> int:
        """Frames of the clip that has a latent of these frames."""
        frames = 1
        while self.latent_shape((frames, self.side, self.side))[1] < latent.shape[2]:
            frames += self.constraints.frame_step
        return frames

    def sigmas(self, steps: int, start: float = 1.0) -> list[float]:
        return self.real.sigmas(steps, start)

    def latent_shape(self, shape: Clip) -> tuple[int, int, int, int]:
        return self.real.latent_shape(shape)

    @property
    def fingerprint(self) -> str:
        return "counting"


class CountingTarget(Target):
    """Says one thing of every video, ``said [K]``, and counts."""

    def __init__(self, said: Sequence[float], tally: Tally) -> None:
        super().__init__()
        self.said = torch.tensor(said)
        self.tally = tally

    def forward(self, video: Tensor) -> Tensor:
        seen = self.tally.count(video, Call("target", video.shape[1])).flatten(1).mean(dim=1)
        return self.said + 1e-3 * seen[:, None] * torch.arange(1, len(self.said) + 1)

    @property
    def fingerprint(self) -> str:
        return "counting"


def rehearse(method: Method, setup: Setup, generator: Generator | None, frames: int) -> Tally:
    """Let a method answer one micro-batch on counting stand-ins, with clips of ``frames``.

    Raises:
        Exception: whatever the method raises.
    """
    tally = Tally()
    side = 2 * generator.constraints.side_step if generator else setup.dataset.shape[1]
    said, goal = _unmet(setup)
    sample = setup.dataset.sample(setup.request.split, 0)
    places = torch.linspace(0, len(sample.video) - 1, frames).round().long()
    sample = replace(sample, video=F.interpolate(sample.video[places], (side, side)))
    counting = CountingGenerator(generator, tally, side) if generator and method.needs_generator else None
    context = Context(setup.dataset, CountingTarget(said, tally), counting)
    method.run([Query(sample, goal, seed=0)] * method.width, context)
    return tally


def _unmet(setup: Setup) -> tuple[list[float], Goal]:
    """What the counting target says, and a goal that it does not meet."""
    values = setup.dataset.values
    if setup.classes or values is None:
        return [10.0, *[0.0] * (len(setup.classes) - 1)], ClassGoal(1)
    return [values.low], ValueGoal(values.high, values.tolerance)


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
        cls: Any = plugins.GENERATORS.load(name)
        if not hasattr(cls, "sketch"):
            return plugins.GENERATORS.build(spec)
        with self.mode:
            sketch = cls.sketch(plugins.GENERATORS.parameters(cls, name, given))
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
            return _both_ways(self.target, video, backward)
        assert self.generator is not None
        generator = self.generator
        if call.network == "encode":
            return measure(lambda: generator.encode(video))
        if call.network == "condition":
            return measure(lambda: generator.condition(None, shape))
        latent = torch.randn(batch, *generator.latent_shape(shape))
        if call.network == "decode":
            return _both_ways(generator.decode, latent, backward)
        condition = generator.condition(None, shape)
        return _both_ways(lambda z: generator.velocity(z, 0.5, condition), latent, backward)

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


def _both_ways(network: Callable[[Tensor], Tensor], inputs: Tensor, backward: bool) -> Price:
    if not backward:
        with torch.no_grad():
            return measure(lambda: network(inputs))
    inputs.requires_grad_()
    return measure(lambda: torch.autograd.grad(network(inputs).sum(), inputs))


@dataclass(frozen=True)
class MethodCost:
    """Of one method: its tasks, and per video the calls (forwards, backwards) and operations of each network.

    ``lack`` is why it could not be rehearsed, or empty.
    """

    method: str
    tasks: int
    calls: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    flops: Mapping[str, float] = field(default_factory=dict)
    lack: str = ""

    def hours(self, gpu: GPU, dtype: str) -> float:
        """For all tasks; ``dtype`` is that of the generator's transformer, everything else is in float32."""
        rates = {"velocity": gpu.single if dtype == "float32" else gpu.half}
        seconds = sum(flops / (rates.get(network, gpu.single) * 1e12) for network, flops in self.flops.items())
        return self.tasks * seconds / UTILISATION / 3600


@dataclass(frozen=True)
class Memory:
    """Bytes of the weights by network, and the most that each network holds beside them."""

    weights: Mapping[str, int]
    peaks: Mapping[str, int]

    @property
    def needed(self) -> float:
        """GB with ``RESERVE``: all weights, and the transformer, the encoder, or decoder and target in turn."""
        together = self.peaks.get("decode", 0) + self.peaks.get("target", 0)
        peak = max([together, *self.peaks.values()], default=0)
        return RESERVE * (sum(self.weights.values()) + peak) / 1e9


Change = Callable[[], tuple[str, Memory]]
"""Tells a generator's spec with one of ``CHANGES``, and the memory that the run needs then."""


@dataclass(frozen=True)
class Estimate:
    """What a run will cost. ``advice`` says by GPU what to change where the run does not fit."""

    shape: Clip
    dtype: str
    methods: tuple[MethodCost, ...]
    memory: Memory
    advice: Mapping[str, str]


def estimate(asked: Request, gpus: Sequence[str] = tuple(GPUS), shape: Clip | None = None) -> Estimate:
    """Cost of a request on GPUs of ``GPUS``, for clips of ``shape`` (by default the dataset's).

    Nothing is trained, generated or downloaded.

    Raises:
        UsageError: anything the user has to change.
    """
    for name in gpus:
        if name not in GPUS:
            raise UsageError(f"unknown GPU '{name}'; {nearest(name, GPUS)}")
    setup = request.resolve(replace(asked, generator=request.NONE))
    shape = shape or setup.dataset.shape
    named = asked.generator or setup.dataset.generator
    spec = None if named in ("", request.NONE) else named
    networks = Networks(spec, setup.target, shape[1:])
    if networks.generator and (violation := networks.generator.constraints.violation(shape)):
        raise UsageError(f"generator '{spec}' does not fit clips of {'x'.join(map(str, shape))}: {violation}")
    tallies, costs = [], []
    for method in setup.methods:
        cost, tally = _cost(method, setup, networks, shape[0])
        costs.append(cost)
        tallies.append(tally)
    memory = Memory(networks.weights(), networks.peaks(tallies))
    changes = lighter(networks, setup.target, shape, tallies, memory)
    advice = {name: advise(memory, GPUS[name], changes) for name in gpus}
    dtype = getattr(getattr(networks.generator, "params", None), "dtype", "float32")
    return Estimate(shape, dtype, tuple(costs), memory, advice)


def _cost(method: Method, setup: Setup, networks: Networks, frames: int) -> tuple[MethodCost, Tally]:
    tasks = setup.request.limit * _goals(setup)
    _, goal = _unmet(setup)
    try:
        lack = method.supports(setup.dataset, setup.target, networks.generator, goal) or ""
        tally = Tally() if lack else rehearse(method, setup, networks.generator, frames)
    except Exception as error:
        lack, tally = plugins.describe(error), Tally()
    if lack:
        return MethodCost(method.spec, tasks, lack=lack), Tally()
    width = method.width
    ahead: Counter[str] = Counter()
    back: Counter[str] = Counter()
    for call, rows in tally.forward.items():
        ahead[call.network] += rows
        back[call.network] += tally.backward[call]
    calls = {network: (ahead[network] / width, back[network] / width) for network in ahead}
    flops = {network: value / width for network, value in networks.flops(tally).items()}
    return MethodCost(method.spec, tasks, calls, flops), tally


def _goals(setup: Setup) -> int:
    """Goals that a run asks of one video."""
    output = [1.0, *[0.0] * (len(setup.classes) - 1)]
    if setup.dataset.values and not setup.classes:
        output = [(setup.dataset.values.low + setup.dataset.values.high) / 2]
    return len(setup.questions.goals([Asked("any", output)], setup.request.seed)[0])


def lighter(networks: Networks, target: Target, shape: Clip, tallies: Sequence[Tally], memory: Memory) -> list[Change]:
    """Those of ``CHANGES`` that the generator does not have yet."""
    if not hasattr(networks.generator, "sketch"):
        return []
    assert networks.generator is not None
    name, given = specs.parse(networks.generator.spec)
    params = networks.generator.params

    def changed(change: Mapping[str, str]) -> tuple[str, Memory]:
        spec = specs.format(name, {**given, **change})
        others = Networks(spec, target, shape[1:])
        return spec, Memory(others.weights(), {**memory.peaks, **others.peaks(tallies, ("velocity", "decode"))})

    new = [change for change in CHANGES if any(getattr(params, key) != value for key, value in change.items())]
    return [functools.cache(functools.partial(changed, change)) for change in new]


def advise(memory: Memory, gpu: GPU, changes: Sequence[Change]) -> str:
    """Whether a run fits a GPU and, where it does not, the first of the changes with which it would."""
    if memory.needed <= gpu.memory:
        return "fits"
    for change in changes:
        spec, other = change()
        if other.needed <= gpu.memory:
            return f"needs {memory.needed:.0f} GB; with --generator '{spec}' it needs {other.needed:.0f} GB and fits"
    return f"needs {memory.needed:.0f} GB: take smaller clips, or a GPU with more memory"
