"""``vcfe-bench explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from vcfe_bench.cli import target as flags

if TYPE_CHECKING:
    from rich.table import Table

    from vcfe_bench.workflows.explain import Explained, Prediction


def explain(
    video: Annotated[Path, Argument(help="A video file.")],
    target: Annotated[
        str, Option(help="Target spec, or package.module:name of your own network; parameters go in brackets.")
    ],
    method: Annotated[str, Option(help="Method spec; parameters go in brackets.")],
    out: Annotated[Path, Option(help="New folder for the results.")],
    to: Annotated[str | None, Option(help="Class that the target is to predict, by name or number.")] = None,
    value: Annotated[float | None, Option(help="Value that a regressor is to predict.")] = None,
    tolerance: Annotated[float | None, Option(help="Largest accepted deviation from the value, in its unit.")] = None,
    generator: Annotated[str | None, Option(help="Generator spec, for methods that need one.")] = None,
    preset: Annotated[str | None, Option(help="Named set of the method's parameters.")] = None,
    frames: Annotated[
        int | None,
        Option(help="Number of frames, evenly spaced over the video; by default those of the target's input."),
    ] = None,
    size: Annotated[
        int | None, Option(help="Side length of the clip in pixels; by default that of the target's input.")
    ] = None,
    seed: Annotated[int, Option(help="Base random seed.")] = 0,
    in_process: flags.InProcess = False,
    force: flags.Force = False,
    weights: flags.Weights = None,
    classes: flags.Classes = None,
    clip: flags.Clip = None,
    mean: flags.Mean = None,
    std: flags.Std = None,
) -> None:
    """Explain a target's prediction for one video: generate a counterfactual, and write videos and scores.

    The folder contains counterfactual.mkv (lossless), side_by_side.mp4 (original, counterfactual, difference),
    strip.png, scores.json, and the files of a run directory.
    """
    from vcfe_bench.plugins import names

    spec = flags.target_spec(target, weights, classes, clip, mean, std)
    assert spec is not None
    for kind, chosen in (("method", method), ("target", spec), ("generator", generator)):
        names.check(kind, (chosen,))
    from rich.console import Console

    from vcfe_bench.cli.progress import LineProgress, progress_display
    from vcfe_bench.workflows import explain

    console = Console()
    request = explain.ExplainRequest(video, spec, method, to, value, tolerance, generator, preset, frames, size, seed)
    prepared = explain.Prepared(request, force, LineProgress(console))
    console.print("[bold]prediction for the original")
    console.print(_classes(prepared.prediction))
    with flags.executor(in_process), progress_display(console) as observer:
        explanation = prepared.run(out, observer)
    console.print("[bold]prediction for the counterfactual")
    console.print(_classes(explanation.after))
    console.print("[bold]scores")
    console.print(_scores(explanation))
    goal = f"goal {explanation.goal}: {'met' if explanation.met else 'not met'}"
    console.print(goal, markup=False, highlight=False, soft_wrap=True)
    console.print(f"folder: {out}", markup=False, highlight=False, soft_wrap=True)


def _classes(prediction: Prediction) -> Table:
    """The target's prediction for a video."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    if prediction.value is not None:
        table.add_row("value", f"{prediction.value:.4g}")
    for name, probability in prediction.classes.items():
        table.add_row(escape(name), f"{probability:.3f}")
    return table


def _scores(explanation: Explained) -> Table:
    """The available scores, and the seconds that the method took."""
    from rich.markup import escape
    from rich.table import Table

    from vcfe_bench.core.text import number
    from vcfe_bench.results.cells import ARROWS

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name, value in explanation.scores.items():
        if value is not None:
            table.add_row(escape(name) + ARROWS[explanation.directions[name]], number(value))
    table.add_row("seconds", number(explanation.seconds))
    return table
