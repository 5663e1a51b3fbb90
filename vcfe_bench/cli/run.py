"""``vcfe-bench run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from vcfe_bench.cli import target as flags


def run(
    methods: Annotated[str, Option(help="Method specs, separated by commas; parameters go in brackets.")],
    dataset: Annotated[str, Option(help="Dataset spec; parameters go in brackets.")],
    split: Annotated[str, Option(help="Split of the dataset: train, validation or test.")] = "test",
    limit: Annotated[
        int, Option(help="Number of videos, drawn from the split with every class; the same for every seed.")
    ] = 8,
    goals: Annotated[
        str,
        Option(
            help="one: a randomly drawn target class per video; all: every other class; SRC:DST: class DST for videos "
            "predicted as SRC; or a group of goals on the dataset's card. For regressors, one: a drawn value; all: one "
            "value below and one above; uniform: drawn from the whole range; or a number."
        ),
    ] = "one",
    target: Annotated[
        str | None,
        Option(help="Target spec, or package.module:name of your own network; by default the dataset's target."),
    ] = None,
    generator: Annotated[
        str | None, Option(help="Generator spec, or none; by default the dataset's generator.")
    ] = None,
    preset: Annotated[
        str | None,
        Option(
            help="Named set of parameters, applied to all methods that define it; 'tuned' for those that 'tune' found."
        ),
    ] = None,
    seed: Annotated[int, Option(help="Base random seed.")] = 0,
    budget: Annotated[
        float | None,
        Option(
            metavar="CALLS",
            help="What each method may spend on the network calls for a task, in forward passes of the generator on "
            "one video; a method that spends more has not answered.",
        ),
    ] = None,
    metrics: Annotated[str | None, Option(help="Metric specs, separated by commas; by default all.")] = None,
    out: Annotated[
        Path | None, Option(help="Run directory; by default runs/DATASET-HASH, with a hash of the request.")
    ] = None,
    overwrite: Annotated[
        bool, Option("--overwrite", help="Delete the run that the run directory holds, and start again.")
    ] = False,
    jobs: Annotated[
        int | None, Option(min=1, help="Number of worker processes that generate; each loads all networks.")
    ] = None,
    executor: Annotated[
        str | None,
        Option(help="pool: worker processes on this machine, the default; ray: on a cluster; or one of a plug-in."),
    ] = None,
    address: Annotated[
        str | None, Option(help="Address of a Ray cluster, or auto; by default ray starts one on this machine.")
    ] = None,
    timeout: Annotated[
        float | None,
        Option(
            min=1,
            metavar="SECONDS",
            help="Time limit of a method for a micro-batch; by default an hour or more, by the size of the clips.",
        ),
    ] = None,
    memory: Annotated[
        float | None,
        Option(
            min=0.1, metavar="GB", help="Memory limit of a worker process; by default 90 % of the machine's in all."
        ),
    ] = None,
    shard: Annotated[
        str | None,
        Option(
            metavar="I/N",
            help="Run the I-th of N equal parts of the tasks, into a directory of its own; 'merge' joins all parts.",
        ),
    ] = None,
    device: Annotated[
        str,
        Option(help="Where networks run: auto, cpu, cuda, cuda:1, mps; auto spreads workers over all CUDA devices."),
    ] = "auto",
    in_process: Annotated[
        bool, Option("--in-process", help="Run methods in this process, as a debugger needs it; without limits.")
    ] = False,
    force: flags.Force = False,
    weights: flags.Weights = None,
    classes: flags.Classes = None,
    clip: flags.Clip = None,
    mean: flags.Mean = None,
    std: flags.Std = None,
) -> None:
    """Generate counterfactuals, score them and print the leaderboard. The same command resumes an interrupted run."""
    from rich.console import Console

    from vcfe_bench.cli.progress import progress_display
    from vcfe_bench.core import devices
    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.executors import choice
    from vcfe_bench.executors.in_process import InProcess
    from vcfe_bench.executors.interface import Options
    from vcfe_bench.plugins import specs
    from vcfe_bench.results import leaderboard
    from vcfe_bench.results.unanswered import require_results
    from vcfe_bench.results.writers import terminal
    from vcfe_bench.runs.setup import Request
    from vcfe_bench.runs.shards import Shard
    from vcfe_bench.workflows import run as workflow

    console = Console()
    spec = flags.target_spec(target, weights, classes, clip, mean, std)
    request = Request(tuple(specs.split(methods)), dataset, split, limit, goals, spec, generator, preset, seed, budget)  # type: ignore[arg-type]
    part = None if shard is None else Shard.parse(shard)
    devices.use(device)
    if in_process and executor:
        raise UsageError("give either --executor or --in-process")
    options = Options(jobs, timeout, None if memory is None else memory * 1e9, address)
    workers = InProcess.configured(options) if in_process else choice.chosen(executor, options)
    chosen = None if metrics is None else tuple(specs.split(metrics))
    with progress_display(console) as observer:
        directory = workflow.run(request, out, chosen, observer, overwrite, force, workers, part)
    console.print(terminal.render(leaderboard.load(directory)))
    console.print(f"run directory: {directory}", soft_wrap=True, highlight=False, markup=False)
    if part is None:  # a shard may have no tasks of a method
        require_results(directory, request.methods)
