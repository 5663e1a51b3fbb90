"""``vcfe-bench explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option, echo

from vcfe_bench.cli import target as flags

if TYPE_CHECKING:
    from rich.table import Table

    from vcfe_bench.workflows.explain import Explained, Said


def explain(
    video: Annotated[Path, Argument(help="A video file.")],
    target: Annotated[
        str, Option(help="The classifier: a target, parameters in brackets, or package.module:name of your own.")
    ],
    method: Annotated[str, Option(help="The method, parameters in brackets.")],
    out: Annotated[Path, Option(help="New folder for all that comes of it.")],
    to: Annotated[str | None, Option(help="The class to reach, by name or number.")] = None,
    value: Annotated[float | None, Option(help="The value to reach, for a regressor.")] = None,
    tolerance: Annotated[float | None, Option(help="How near to the value, in its unit.")] = None,
    generator: Annotated[str | None, Option(help="The video generator, for a method that needs one.")] = None,
    preset: Annotated[str | None, Option(help="A named set of the method's parameters.")] = None,
    frames: Annotated[
        int | None, Option(help="Length of the clip, evenly spaced over the video; by default what the target reads.")
    ] = None,
    size: Annotated[int | None, Option(help="Side of the clip in pixels; by default what the target reads.")] = None,
    seed: Annotated[int, Option(help="Base seed of all randomness.")] = 0,
    weights: flags.Weights = None,
    classes: flags.Classes = None,
    clip: flags.Clip = None,
    mean: flags.Mean = None,
    std: flags.Std = None,
) -> None:
    """Explain what a target says of one video: make it say something else, and write the videos and the scores.

    The folder gets counterfactual.mkv (without loss), side_by_side.mp4 (original, counterfactual, difference),
    strip.png, scores.json, and what every run keeps.
    """
    from rich.console import Console

    from vcfe_bench.cli.progress import display
    from vcfe_bench.workflows import explain

    spec = flags.target_spec(target, weights, classes, clip, mean, std)
    assert spec is not None
    console = Console()
    wish = explain.Wish(video, spec, method, to, value, tolerance, generator, preset, frames, size, seed)
    prepared = explain.Prepared(wish)
    console.print("[bold]the target says")
    console.print(_classes(prepared.said))
    try:
        with display(console) as observer:
            found = prepared.run(out, observer)
    except KeyboardInterrupt:
        echo("vcfe-bench: interrupted; the same command goes on where it stopped", err=True)
        raise Exit(130) from None
    console.print("[bold]the target says of the counterfactual")
    console.print(_classes(found.after))
    console.print("[bold]scores")
    console.print(_scores(found))
    verdict = "the target says so" if found.met else "the target does not say so"
    console.print(f"asked for {found.goal}: {verdict}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"folder: {out}", markup=False, highlight=False, soft_wrap=True)


def _classes(said: Said) -> Table:
    """What the target says of a video."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    if said.value is not None:
        table.add_row("value", f"{said.value:.4g}")
    for name, probability in said.classes.items():
        table.add_row(escape(name), f"{probability:.3f}")
    return table


def _scores(found: Explained) -> Table:
    """The metrics that are defined, and what the method took."""
    from rich.table import Table

    from vcfe_bench.core.text import number
    from vcfe_bench.results.cells import ARROWS

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name, value in found.scores.items():
        if value is not None:
            table.add_row(name + ARROWS[found.directions[name]], number(value))
    table.add_row("seconds", number(found.seconds))
    return table
