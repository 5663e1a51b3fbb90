"""``vcfe-bench score`` and ``vcfe-bench rescore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from vcfe_bench.cli import output
from vcfe_bench.cli import target as flags


def score(
    originals: Annotated[
        Path, Option(help="Folder of videos of the dataset: lossless video files, folders of pictures, or .npy arrays.")
    ],
    counterfactuals: Annotated[Path, Option(help="Folder of their counterfactuals, under the same names.")],
    goals: Annotated[
        Path, Option(help="CSV file with the columns name and goal: a class, a value, or the text of a goal.")
    ],
    dataset: Annotated[str, Option(help="Spec of the dataset that the originals belong to.")],
    out: Annotated[Path, Option(help="Directory of the new run.")],
    split: Annotated[str, Option(help="Split of the originals: train, validation or test.")] = "test",
    metrics: output.Metrics = None,
    target: Annotated[
        str | None,
        Option(help="Target spec, or package.module:name of your own network; by default the dataset's target."),
    ] = None,
    method: Annotated[
        str | None, Option(help="Name of the row; by default that of the folder of counterfactuals.")
    ] = None,
    weights: flags.Weights = None,
    classes: flags.Classes = None,
    clip: flags.Clip = None,
    mean: flags.Mean = None,
    std: flags.Std = None,
    force: flags.Force = False,
    references: Annotated[
        bool,
        Option(
            "--references/--no-references",
            help="Add the rows true_edit, reconstruction and no_edit, which other runs may have already.",
        ),
    ] = True,
    quiet: output.Quiet = False,
    verbose: output.Verbose = False,
) -> None:
    """Score counterfactuals that another program has made, as an ordinary run."""
    from vcfe_bench.plugins import names

    spec = flags.target_spec(target, weights, classes, clip, mean, std)
    names.check("dataset", (dataset,))
    names.check("target", (spec,))
    from rich.console import Console

    from vcfe_bench.cli.progress import progress_display
    from vcfe_bench.results import leaderboard
    from vcfe_bench.results.unanswered import require_results
    from vcfe_bench.workflows import score_external

    console = Console()
    name = method or counterfactuals.resolve().name
    given = score_external.Given(originals, counterfactuals, goals, dataset, name, spec, split)  # type: ignore[arg-type]
    with progress_display(console, quiet, verbose=verbose) as observer:
        chosen = output.metric_specs(metrics)
        directory = score_external.score(given, out, chosen, observer, force, references)
    output.print_board(console, leaderboard.load(directory), hint=output.report_hint(directory))
    require_results(directory, (name,))


def rescore(
    directory: Annotated[
        Path | None, Argument(metavar="DIR", help="Directory of a run; by default the latest in runs/.")
    ] = None,
    metrics: output.Metrics = None,
    quiet: output.Quiet = False,
) -> None:
    """Score the stored counterfactuals of a run again, without generating anything."""
    from rich.console import Console

    from vcfe_bench.cli.progress import progress_display
    from vcfe_bench.results import leaderboard
    from vcfe_bench.runs.found import latest
    from vcfe_bench.workflows import run as workflow

    console, directory = Console(), directory or latest()
    with progress_display(console, quiet) as observer:
        workflow.rescore(directory, output.metric_specs(metrics), observer)
    output.print_board(console, leaderboard.load(directory), hint=output.report_hint(directory))
