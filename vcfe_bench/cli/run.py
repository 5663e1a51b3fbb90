"""``vcfe-bench run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Exit, Option, echo

from vcfe_bench.cli import target as flags


def run(
    methods: Annotated[str, Option(help="Methods, separated by commas, parameters in brackets.")],
    dataset: Annotated[str, Option(help="The dataset, parameters in brackets.")],
    split: Annotated[str, Option(help="train or test.")] = "test",
    limit: Annotated[int, Option(help="Number of videos, the first of the split that fit the goals.")] = 8,
    goals: Annotated[
        str,
        Option(
            help="one: a drawn class per video; all: every other class; SRC:DST: videos seen as SRC, towards DST. "
            "For regressors, one: a drawn value; all: one below and one above; or a value to reach."
        ),
    ] = "one",
    target: Annotated[
        str | None,
        Option(help="The classifier to explain, or package.module:name of your own; by default the dataset's."),
    ] = None,
    generator: Annotated[str | None, Option(help="The video generator, or none; by default the dataset's own.")] = None,
    preset: Annotated[str | None, Option(help="A named set of parameters, for all methods that have it.")] = None,
    seed: Annotated[int, Option(help="Base seed of all randomness.")] = 0,
    metrics: Annotated[str | None, Option(help="Metrics, separated by commas; by default all.")] = None,
    out: Annotated[
        Path | None, Option(help="The run's directory; by default runs/<dataset>-<hash of the configuration>.")
    ] = None,
    weights: flags.Weights = None,
    classes: flags.Classes = None,
    clip: flags.Clip = None,
    mean: flags.Mean = None,
    std: flags.Std = None,
) -> None:
    """Make counterfactuals, score them, print the leaderboard. The same command again goes on where it stopped."""
    from rich.console import Console

    from vcfe_bench.cli.progress import display
    from vcfe_bench.plugins import specs
    from vcfe_bench.results import formats, leaderboard
    from vcfe_bench.runs.setup import Request
    from vcfe_bench.workflows import run as runner

    console = Console()
    spec = flags.target_spec(target, weights, classes, clip, mean, std)
    request = Request(tuple(specs.split(methods)), dataset, split, limit, goals, spec, generator, preset, seed)  # type: ignore[arg-type]
    chosen = None if metrics is None else tuple(specs.split(metrics))
    try:
        with display(console) as observer:
            directory = runner.run(request, out, chosen, observer)
    except KeyboardInterrupt:
        echo("vcfe-bench: interrupted; the same command goes on where it stopped", err=True)
        raise Exit(130) from None
    console.print(formats.render_run(leaderboard.load(directory)))
    console.print(f"run directory: {directory}", soft_wrap=True, highlight=False)
