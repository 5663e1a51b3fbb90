"""What a run will cost, told before it starts: network evaluations, arithmetic, hours, and peak memory by part.

Two rehearsals without weights. First each method runs on a generator and a target that only count; the target never
says what the goal asks, so that methods that stop early are counted to their end. Then each kind of call that was
counted is made once by the real networks on tensors without data: every operation tells its arithmetic, every storage
its size. What is left out: the allocator's own needs, for which ``RESERVE`` is added, and latents and videos of the
method itself, which do not lie on the generator's device.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from vcfe_bench.core.errors import UsageError, describe, nearest
from vcfe_bench.costs.gpus import GPU, GPUS
from vcfe_bench.costs.meter import (
    Networks,
)
from vcfe_bench.costs.rehearsal import Clip, Tally, rehearse, unmet
from vcfe_bench.plugins import specs
from vcfe_bench.plugins.method import Method
from vcfe_bench.plugins.target import Target
from vcfe_bench.runs.configuration import NONE
from vcfe_bench.runs.goal_selection import PredictedVideo
from vcfe_bench.runs.setup import Request, Setup, resolve

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
    setup = resolve(replace(asked, generator=NONE))
    shape = shape or setup.dataset.shape
    named = asked.generator or setup.dataset.generator
    spec = None if named in ("", NONE) else named
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
    _, goal = unmet(setup)
    try:
        lack = method.supports(setup.dataset, setup.target, networks.generator, goal) or ""
        tally = Tally() if lack else rehearse(method, setup, networks.generator, frames)
    except Exception as error:
        lack, tally = describe(error), Tally()
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
    return len(setup.selection.goals([PredictedVideo("any", output)], setup.request.seed)[0])


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
