"""``vcfe-bench plan``."""

from __future__ import annotations

from typing import Annotated

from typer import Option


def plan(
    methods: Annotated[str, Option(help="Methods, separated by commas, parameters in brackets.")],
    dataset: Annotated[str, Option(help="The dataset, parameters in brackets.")],
    split: Annotated[str, Option(help="train or test.")] = "test",
    limit: Annotated[int, Option(help="Number of videos.")] = 8,
    goals: Annotated[str, Option(help="As for run.")] = "one",
    target: Annotated[str | None, Option(help="The classifier to explain; by default the dataset's own.")] = None,
    generator: Annotated[
        str | None,
        Option(help="The video generator, or none; by default the dataset's own. Its weights are not needed."),
    ] = None,
    preset: Annotated[str | None, Option(help="A named set of parameters, for all methods that have it.")] = None,
    shape: Annotated[str, Option(help="Frames, height and width, e.g. 33x448x448; by default the dataset's.")] = "",
    gpus: Annotated[str, Option(help="GPUs, separated by commas; by default all that are known.")] = "",
) -> None:
    """Tell what a run would cost: tasks, network evaluations, operations, hours, memory, and what to change."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from vcfe_bench.costs import estimate
    from vcfe_bench.costs.gpus import GPUS
    from vcfe_bench.plugins import specs
    from vcfe_bench.runs.setup import Request

    asked = Request(tuple(specs.split(methods)), dataset, split, limit, goals, target, generator, preset)  # type: ignore[arg-type]
    chosen = tuple(specs.split(gpus)) or tuple(GPUS)
    found = estimate.estimate(asked, chosen, _shape(shape))
    console = Console()
    console.print(f"clips of {'x'.join(map(str, found.shape))}, evaluations at most (a goal met early saves some)")

    console.print("\nper video:")
    table = Table("method", "tasks", "network", "forwards", "backwards", "TFLOP", box=None)
    for cost in found.methods:
        if cost.lack:
            table.add_row(escape(cost.method), str(cost.tasks), f"not counted: {escape(cost.lack)}")
        for row, (network, (ahead, back)) in enumerate(cost.calls.items()):
            name, tasks = (escape(cost.method), str(cost.tasks)) if row == 0 else ("", "")
            table.add_row(name, tasks, network, f"{ahead:g}", f"{back:g}", f"{cost.flops[network] / 1e12:,.3g}")
    console.print(table)

    console.print(f"\nhours in all, at {estimate.UTILISATION:.0%} of a GPU's peak:", highlight=False)
    hours = Table("method", *chosen, box=None)
    for cost in found.methods:
        times = [f"{cost.hours(GPUS[name], found.dtype):,.3g}" for name in chosen]
        hours.add_row(escape(cost.method), *(["?"] * len(chosen) if cost.lack else times))
    console.print(hours)

    console.print("\npeak memory:")
    memory = Table("part", "GB", box=None)
    for network, size in found.memory.weights.items():
        memory.add_row(f"weights of {network}", f"{size / 1e9:.2f}")
    for network, size in found.memory.peaks.items():
        memory.add_row(f"{network}, beside its weights", f"{size / 1e9:.2f}")
    memory.add_row(f"needed, with {estimate.RESERVE - 1:.0%} for the allocator", f"{found.memory.needed:.2f}")
    console.print(memory)
    console.print()
    for name in chosen:
        console.print(f"{name}: {found.advice[name]}", soft_wrap=True, highlight=False, markup=False)


def _shape(text: str) -> tuple[int, int, int] | None:
    from vcfe_bench.core.errors import UsageError

    if not text:
        return None
    sizes = text.split("x")
    if len(sizes) != 3 or not all(size.isdigit() and int(size) for size in sizes):
        raise UsageError(f"--shape is frames, height and width such as 33x448x448, not '{text}'")
    frames, height, width = map(int, sizes)
    return frames, height, width
