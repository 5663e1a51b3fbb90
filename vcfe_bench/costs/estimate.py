"""Estimates the cost of a run in advance: network evaluations, arithmetic, hours, and peak memory by network.

First, a dry run of each method on stand-in networks counts its calls (``dry_run``); the goal is never met, so that
methods that stop early are counted in full. Second, the networks make each kind of call once, which gives its
arithmetic and memory: on random data where they are small and here, otherwise on tensors without data, which needs no
weights (``networks``). Third, short passes give the speed of this machine (``this_machine``). Two things are not
measured: the overhead of the allocator, for which ``RESERVE`` is added, and the latents and videos that a method itself
keeps, which are not on the generator's device.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from vcfe_bench.core.errors import UsageError, describe, nearest
from vcfe_bench.costs import this_machine
from vcfe_bench.costs.dry_run import Clip, Tally, dry_run, unmet
from vcfe_bench.costs.gpus import GPU, GPUS
from vcfe_bench.costs.networks import Networks, pixels, small
from vcfe_bench.costs.this_machine import ENLARGED, ThisMachine
from vcfe_bench.plugins import specs
from vcfe_bench.plugins.method import Method
from vcfe_bench.plugins.target import Target
from vcfe_bench.runs.configuration import NONE
from vcfe_bench.runs.goal_selection import PredictedVideo
from vcfe_bench.runs.setup import Request, Setup, resolve

RESERVE = 1.1
"""Allocated memory per byte in use: caching allocators and kernel workspaces take 5 to 15 % more."""
UTILISATION = 0.4
"""Share of a GPU's peak performance that large transformers and 3-D convolutions reach in practice."""
LIGHTER = (
    {"activations": "recompute"},
    {"activations": "offload"},
    {"activations": "recompute", "storage": "float8"},
    {"activations": "offload", "storage": "float8"},
)
"""Settings of a generator that reduce its memory, in increasing order of the time they cost."""


@dataclass(frozen=True)
class MethodCost:
    """Cost of one method.

    Attributes:
        method: its spec.
        tasks: number of pairs of a video and a goal.
        calls: forward and backward passes per video, by network.
        flops: floating-point operations per video, by network.
        reason: why the method could not be counted; empty if it could.
    """

    method: str
    tasks: int
    calls: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    flops: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    def hours(self, gpu: GPU, dtype: str) -> float:
        """Hours for all tasks; ``dtype`` is that of the generator's transformer, all other networks use float32."""
        tflops = {"velocity": gpu.single if dtype == "float32" else gpu.half}
        seconds = sum(flops / (tflops.get(network, gpu.single) * 1e12) for network, flops in self.flops.items())
        return self.tasks * seconds / UTILISATION / 3600


@dataclass(frozen=True)
class Memory:
    """Bytes of the weights, and peak bytes besides the weights, by network."""

    weights: Mapping[str, int]
    peaks: Mapping[str, int]

    @property
    def needed(self) -> float:
        """Required GB, including ``RESERVE``: all weights, and the largest peak; decoder and target peak together."""
        together = self.peaks.get("decode", 0) + self.peaks.get("target", 0)
        peak = max([together, *self.peaks.values()], default=0)
        return RESERVE * (sum(self.weights.values()) + peak) / 1e9


Change = Callable[[], tuple[str, Memory]]
"""Returns the spec of a generator with one of the settings ``LIGHTER``, and the memory that the run then needs."""


@dataclass(frozen=True)
class Estimate:
    """Cost of a run. ``advice`` says for each GPU whether the run fits and what to change if not.

    ``here`` is this machine; the order of its seconds is that of ``methods``.
    """

    shape: Clip
    dtype: str
    methods: tuple[MethodCost, ...]
    memory: Memory
    advice: Mapping[str, str]
    here: ThisMachine


def estimate(request: Request, gpus: Sequence[str] = tuple(GPUS), shape: Clip | None = None) -> Estimate:
    """Cost of a request on some of ``GPUS``, for clips of ``shape`` (by default that of the dataset).

    Nothing is trained, generated or downloaded.

    Raises:
        UsageError: the request cannot be run as given.
    """
    for name in gpus:
        if name not in GPUS:
            raise UsageError(f"unknown GPU '{name}'; {nearest(name, GPUS)}")
    setup = resolve(replace(request, generator=NONE))
    shape = shape or setup.dataset.shape
    generator = request.generator or setup.dataset.generator
    spec = None if generator in ("", NONE) else generator
    calls = small(spec)
    timed = calls and pixels(shape) <= ENLARGED * pixels(setup.dataset.shape)
    networks = Networks(spec, setup.target, shape[1:], timed)
    if networks.generator and (violation := networks.generator.constraints.violation(shape)):
        raise UsageError(f"generator '{spec}' does not fit clips of {'x'.join(map(str, shape))}: {violation}")
    tallies, costs = [], []
    for method in setup.methods:
        cost, tally = _method_cost(method, setup, networks, shape[0])
        costs.append(cost)
        tallies.append(tally)
    memory = Memory(networks.weights(), networks.peaks(tallies))
    changes = lighter(networks, setup.target, shape, tallies, memory)
    advice = {name: advise(memory, GPUS[name], changes) for name in gpus}
    batches = [math.ceil(cost.tasks / method.width) for cost, method in zip(costs, setup.methods, strict=True)]
    here = this_machine.measure(setup, networks, tallies, batches, shape, calls, memory.needed)
    return Estimate(shape, networks.dtype, tuple(costs), memory, advice, here)


def _method_cost(method: Method, setup: Setup, networks: Networks, frames: int) -> tuple[MethodCost, Tally]:
    tasks = setup.request.limit * _goals_per_video(setup)
    _, goal = unmet(setup)
    try:
        reason = method.supports(setup.dataset, setup.target, networks.generator, goal) or ""
        tally = Tally() if reason else dry_run(method, setup, networks.generator, frames)
    except Exception as error:
        reason, tally = describe(error), Tally()
    if reason:
        return MethodCost(method.spec, tasks, reason=reason), Tally()
    forward: Counter[str] = Counter()
    backward: Counter[str] = Counter()
    for call, videos in tally.forward.items():
        forward[call.network] += videos
        backward[call.network] += tally.backward[call]
    calls = {network: (forward[network] / method.width, backward[network] / method.width) for network in forward}
    flops = {network: value / method.width for network, value in networks.flops(tally).items()}
    return MethodCost(method.spec, tasks, calls, flops), tally


def _goals_per_video(setup: Setup) -> int:
    """Number of goals that a run requests for one video."""
    output = [1.0, *[0.0] * (len(setup.classes) - 1)]
    if setup.dataset.values and not setup.classes:
        output = [(setup.dataset.values.low + setup.dataset.values.high) / 2]
    return len(setup.selection.goals([PredictedVideo("any", output)], setup.request.seed)[0])


def lighter(networks: Networks, target: Target, shape: Clip, tallies: Sequence[Tally], memory: Memory) -> list[Change]:
    """Those of the settings ``LIGHTER`` that the generator does not have yet."""
    if not hasattr(networks.generator, "sketch"):
        return []
    assert networks.generator is not None
    name, given = specs.parse(networks.generator.spec)
    params = networks.generator.params
    decoders = {params.activations: {key: peak for key, peak in memory.peaks.items() if key == "decode"}}

    def changed(settings: Mapping[str, str]) -> tuple[str, Memory]:
        spec = specs.format(name, {**given, **settings})
        variant = Networks(spec, target, shape[1:])
        activations = settings["activations"]
        if activations not in decoders:
            decoders[activations] = variant.peaks(tallies, ("decode",))
        peaks = {**memory.peaks, **variant.peaks(tallies, ("velocity",)), **decoders[activations]}
        return spec, Memory(variant.weights(), peaks)

    new = [settings for settings in LIGHTER if any(getattr(params, key) != value for key, value in settings.items())]
    return [functools.cache(functools.partial(changed, settings)) for settings in new]


def advise(memory: Memory, gpu: GPU, changes: Sequence[Change]) -> str:
    """Whether a run fits on a GPU; if not, the first of the changes with which it does."""
    if memory.needed <= gpu.memory:
        return "fits"
    for change in changes:
        spec, lighter_memory = change()
        if lighter_memory.needed <= gpu.memory:
            return (
                f"needs {memory.needed:.0f} GB; with --generator '{spec}' it needs {lighter_memory.needed:.0f} GB "
                "and fits"
            )
    return f"needs {memory.needed:.0f} GB: use smaller clips or a GPU with more memory"
