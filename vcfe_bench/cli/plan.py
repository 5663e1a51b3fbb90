"""``vcfe-bench plan``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

if TYPE_CHECKING:
    from rich.table import Table

    from vcfe_bench.costs.estimate import Estimate, Memory

ABREAST = 4
"""Number of methods in a table of times."""


def plan(
    methods: Annotated[str, Option(help="Methods, separated by commas, with parameters in brackets.")] = "",
    dataset: Annotated[str, Option(help="The dataset, with parameters in brackets.")] = "",
    split: Annotated[str, Option(help="train, validation or test.")] = "test",
    limit: Annotated[int, Option(help="Number of videos.")] = 8,
    goals: Annotated[str, Option(help="As for 'run'.")] = "one",
    target: Annotated[str | None, Option(help="The classifier to explain; by default that of the dataset.")] = None,
    generator: Annotated[
        str | None,
        Option(help="The video generator, or none; by default that of the dataset. Its weights are not needed."),
    ] = None,
    preset: Annotated[str | None, Option(help="A named set of parameters, used by all methods that have it.")] = None,
    shape: Annotated[str, Option(help="Frames, height and width, e.g. 33x448x448; by default the dataset's.")] = "",
    gpus: Annotated[str, Option(help="GPUs, separated by commas; by default all known ones.")] = "",
    detect: Annotated[
        float | None,
        Option(help="Instead: how many videos it takes to see this difference between methods, such as 0.05."),
    ] = None,
    sd: Annotated[
        float | None,
        Option(help="With --detect: the difference is one of means, and varies by this much between videos."),
    ] = None,
    table: Annotated[
        Path | None,
        Option(help="With --detect: a run, or a table that 'check --update' wrote; its rates and deviations are used."),
    ] = None,
) -> None:
    """Estimate the cost of a run: network passes, operations, hours, memory, and settings that reduce memory.

    With --detect, estimate how many videos a claim needs: the power of the paired tests between methods.
    """
    from vcfe_bench.plugins import names, specs

    named = {"method": specs.split(methods), "dataset": (dataset,), "target": (target,), "generator": (generator,)}
    for kind, chosen in named.items():
        names.check(kind, chosen)
    from rich.console import Console

    from vcfe_bench.cli.detect import print_detectable
    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.costs.estimate import estimate
    from vcfe_bench.costs.gpus import GPUS
    from vcfe_bench.runs.setup import Request

    if detect is not None:
        print_detectable(detect, sd, table, limit, max(len(specs.split(methods)), 2))
        return
    if sd is not None or table is not None:
        raise UsageError(f"--{'sd' if table is None else 'table'} belongs to --detect")
    if not methods or not dataset:
        raise UsageError("--methods and --dataset are needed, or --detect")
    request = Request(tuple(specs.split(methods)), dataset, split, limit, goals, target, generator, preset)  # type: ignore[arg-type]
    cards = tuple(specs.split(gpus)) or tuple(GPUS)
    cost = estimate(request, cards, _shape(shape))
    console = Console()
    clips = "x".join(map(str, cost.shape))
    console.print(f"Clips of {clips}. Upper bound: methods that stop when the goal is met need fewer evaluations.")
    for title, *shown in (_evaluations(cost), _times(cost, cards), _memory(cost.memory)):
        console.print(f"\n{title}:", highlight=False)
        for part in shown:
            console.print(part)
    console.print()
    for line in _advice(cost.advice):
        console.print(line, highlight=False, markup=False)


def _evaluations(cost: Estimate) -> tuple[str, Table]:
    from rich.markup import escape
    from rich.table import Table

    table = Table("method", "tasks", "network", "forward", "backward", "TFLOP", box=None)
    for method in cost.methods:
        if method.reason:
            table.add_row(escape(method.method), str(method.tasks), f"not estimated: {escape(method.reason)}")
        for row, (network, (forward, backward)) in enumerate(method.calls.items()):
            name, tasks = (escape(method.method), str(method.tasks)) if row == 0 else ("", "")
            tflop = f"{method.flops[network] / 1e12:,.3g}"
            table.add_row(name, tasks, network, f"{forward:g}", f"{backward:g}", tflop)
    return "Network passes and operations per task", table


def _times(cost: Estimate, gpus: Sequence[str]) -> tuple[str, *tuple[Table, ...]]:
    """Machines in rows, this one first, and methods in columns, ``ABREAST`` in a table."""
    from math import isnan

    from rich.markup import escape
    from rich.table import Table

    from vcfe_bench.core.text import duration
    from vcfe_bench.costs.estimate import UTILISATION
    from vcfe_bench.costs.gpus import GPUS

    here = cost.here
    rows = [["this machine", *("?" if isnan(seconds) else duration(seconds) for seconds in here.seconds)]]
    rows += [[name, *(duration(3600 * m.hours(GPUS[name], cost.dtype)) for m in cost.methods)] for name in gpus]
    tables = []
    columns = [k for k, method in enumerate(cost.methods, start=1) if method.flops and not method.reason]
    for start in range(0, len(columns), ABREAST):
        chosen = columns[start : start + ABREAST]
        table = Table("machine", *(escape(cost.methods[k - 1].method) for k in chosen), box=None)
        for row in rows:
            table.add_row(row[0], *(row[k] for k in chosen))
        tables.append(table)
    title = (
        f"Time for all tasks, one after another, without scoring. This machine: {here.name}; timed: "
        f"{here.calibration}. GPUs: {UTILISATION:.0%} of their peak performance"
    )
    return title, *tables


def _memory(memory: Memory) -> tuple[str, Table]:
    from rich.table import Table

    from vcfe_bench.costs.estimate import RESERVE

    table = Table("part", "GB", box=None)
    for network, size in memory.weights.items():
        table.add_row(f"weights of {network}", f"{size / 1e9:.2f}")
    for network, size in memory.peaks.items():
        table.add_row(f"activations of {network}", f"{size / 1e9:.2f}")
    table.add_row(f"total, with {RESERVE - 1:.0%} for the allocator", f"{memory.needed:.2f}")
    return "Peak memory", table


def _advice(advice: Mapping[str, str]) -> list[str]:
    """What to do on each machine; those on which the run fits share a line."""
    fits = [name for name, text in advice.items() if text == "fits"]
    lines = [f"fits: {', '.join(fits)}"] if fits else []
    return lines + [f"{name}: {text}" for name, text in advice.items() if text != "fits"]


def _shape(text: str) -> tuple[int, int, int] | None:
    from vcfe_bench.core.errors import UsageError

    if not text:
        return None
    sizes = text.split("x")
    if len(sizes) != 3 or not all(size.isdigit() and int(size) for size in sizes):
        raise UsageError(f"--shape has to be frames, height and width, such as 33x448x448, not '{text}'")
    frames, height, width = map(int, sizes)
    return frames, height, width
