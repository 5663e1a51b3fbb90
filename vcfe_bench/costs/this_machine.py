"""How long a run takes on this machine, calibrated by a few short passes.

Where the generator is small enough (``networks.small``), each kind of call that the methods make is timed, with the
number of threads that a run uses. Calls on clips much larger than the dataset's are timed on the dataset's clips, and
their time is scaled by the number of operations. Where the networks are too large, only a matrix product is timed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import psutil
import torch

from vcfe_bench.core import devices
from vcfe_bench.core.environment import environment
from vcfe_bench.costs.dry_run import Clip, Tally
from vcfe_bench.costs.networks import Networks
from vcfe_bench.executors import serial
from vcfe_bench.runs.configuration import THREADS
from vcfe_bench.runs.setup import Setup

ENLARGED = 4
"""How many times the pixels of the dataset's clips a clip may have for its calls to be timed directly."""
SHARE = 0.6
"""Share of the speed of a large matrix product that networks reach."""


@dataclass(frozen=True)
class ThisMachine:
    """This machine.

    Attributes:
        name: its processor or GPU.
        memory: memory of the device that networks run on, in GB (10⁹ bytes).
        seconds: of each method, for all tasks; NaN if unknown.
        calibration: what was timed.
    """

    name: str
    memory: float
    seconds: tuple[float, ...]
    calibration: str


def measure(
    setup: Setup,
    networks: Networks,
    tallies: Sequence[Tally],
    batches: Sequence[int],
    shape: Clip,
    calls: bool,
    needed: float,
) -> ThisMachine:
    """The time of ``batches`` micro-batches of each method, whose calls in one are ``tallies``, on clips of ``shape``.

    ``networks`` may be without data. With ``calls``, those of the request are small, and their calls are timed.
    ``needed`` is the memory of the run in GB.
    """
    with serial.threads(THREADS):
        if networks.timed:
            seconds, how = [sum(networks.times(tally).values()) for tally in tallies], "a pass of each kind"
        elif calls:
            seconds = _scaled(setup, networks, tallies, shape)
            how = f"passes on clips of {'x'.join(map(str, setup.dataset.shape))}, scaled by operations"
        elif needed > memory():
            seconds, how = [math.nan] * len(tallies), "nothing, since the run does not fit"
        else:
            speed = SHARE * _matrix_product(networks.dtype)
            seconds = [sum(networks.flops(tally).values()) / speed for tally in tallies]
            how = "a matrix product, since the networks are not here"
    totals = tuple(number * each for number, each in zip(batches, seconds, strict=True))
    return ThisMachine(_name(), memory(), totals, how)


def memory() -> float:
    """GB of memory of the device that networks run on."""
    device = devices.default()
    total = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else psutil.virtual_memory().total
    return total / 1e9


def _name() -> str:
    device = devices.default()
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{environment()['machine']['cpu']}, {THREADS} of {os.cpu_count()} cores"


def _scaled(setup: Setup, networks: Networks, tallies: Sequence[Tally], shape: Clip) -> list[float]:
    own = setup.dataset.shape
    generator = networks.generator.spec if networks.generator else None
    timed = Networks(generator, setup.target, own[1:], timed=True)
    totals = []
    for tally in tallies:
        shorter = _shorter(tally, shape[0], own[0])
        small, large = timed.flops(shorter), networks.flops(tally)
        times = timed.times(shorter)
        totals.append(sum(time * (large[name] / small[name] if small[name] else 1) for name, time in times.items()))
    return totals


def _shorter(tally: Tally, whole: int, frames: int) -> Tally:
    """The same calls, those on ``whole`` clips on clips of ``frames``."""
    result = Tally()
    for call, videos in tally.forward.items():
        short = replace(call, frames=frames if call.frames == whole else min(call.frames, frames))
        result.forward[short] += videos
        result.backward[short] += tally.backward[call]
        result.batch[short] = max(result.batch.get(short, 0), tally.batch[call])
    return result


def _matrix_product(dtype: str) -> float:
    """Operations per second of the product of two large square matrices."""
    device = devices.default()
    side = 8192 if device.type == "cuda" else 1024
    left = torch.randn(side, side, device=device).to(getattr(torch, dtype))
    best = min(_clocked(lambda: left @ left, device) for _ in range(3))
    return 2 * side**3 / best


def _clocked(work: Callable[[], object], device: torch.device) -> float:
    start = perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - start
