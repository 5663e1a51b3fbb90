"""The command line: thin wrappers around importable functions, which are imported when a command is called."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer
from typer import Option

from vcfe_bench.cli import exits
from vcfe_bench.cli.check import check
from vcfe_bench.cli.check_plugin import check_plugin
from vcfe_bench.cli.curves import curves
from vcfe_bench.cli.dataset import dataset_app
from vcfe_bench.cli.doctor import doctor
from vcfe_bench.cli.evaluate import evaluate_app
from vcfe_bench.cli.explain import explain
from vcfe_bench.cli.figure import figure
from vcfe_bench.cli.leaderboard import leaderboard
from vcfe_bench.cli.list import list_plugins
from vcfe_bench.cli.merge import merge
from vcfe_bench.cli.new import new_app
from vcfe_bench.cli.plan import plan
from vcfe_bench.cli.report import report
from vcfe_bench.cli.run import run
from vcfe_bench.cli.runs import runs
from vcfe_bench.cli.score import rescore, score
from vcfe_bench.cli.status import status, verify
from vcfe_bench.cli.submit import submit
from vcfe_bench.cli.train import train_app
from vcfe_bench.cli.tune import tune
from vcfe_bench.cli.validate import validate_app

RUN, LOOK, EXTEND, NETWORKS = "Run", "Look", "Extend", "Networks"
app = typer.Typer(
    name="vcfe-bench",
    cls=exits.Commands,
    help="Generate, score and compare counterfactual explanations of video classifiers.",
    rich_markup_mode="markdown",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command(
    epilog="Example: vcfe-bench run --methods 'bttf[steps=15],pgd' --dataset shape_moving --limit 16 --out runs/first",
    rich_help_panel=RUN,
)(run)
app.command(epilog="Example: vcfe-bench tune pgd --dataset shape_moving --budget 100", rich_help_panel=RUN)(tune)
app.command(
    epilog="Example: vcfe-bench plan --methods bttf --preset paper --dataset shape_moving "
    "--generator 'wan[path=Wan-AI/Wan2.1-I2V-14B-480P-Diffusers]' --shape 33x448x448",
    rich_help_panel=RUN,
)(plan)
app.command(
    epilog="Example: vcfe-bench score --originals videos --counterfactuals theirs --goals goals.csv "
    "--dataset shape_moving --out runs/theirs",
    rich_help_panel=RUN,
)(score)
app.command(
    epilog="Example: vcfe-bench merge runs/part-1 runs/part-2 runs/part-3 --out runs/whole", rich_help_panel=RUN
)(merge)
app.command(epilog="Example: vcfe-bench rescore runs/first --metrics ssim,cout", rich_help_panel=RUN)(rescore)
app.command(
    epilog="Example: vcfe-bench explain clip.mp4 --target i3d_kinetics400 --to 'driving car' --method pgd "
    "--out runs/clip",
    rich_help_panel=RUN,
)(explain)
app.command(epilog="Example: vcfe-bench status runs/first", rich_help_panel=LOOK)(status)
app.command(epilog="Example: vcfe-bench verify runs/first", rich_help_panel=LOOK)(verify)
app.command(
    epilog="Example: vcfe-bench leaderboard runs/first runs/second --sort FR --out table.md", rich_help_panel=LOOK
)(leaderboard)
app.command(
    epilog="Example: vcfe-bench curves runs/quarter runs/half runs/full --out curves.svg", rich_help_panel=LOOK
)(curves)
app.command(
    epilog="Example: vcfe-bench check runs/first --against leaderboards/shape_moving_quick.csv", rich_help_panel=LOOK
)(check)
app.command(
    epilog="Example: vcfe-bench figure runs/first --record 0123456789abcdef0123 --out strip.png", rich_help_panel=LOOK
)(figure)
app.command(epilog="Example: vcfe-bench report runs/first --open", rich_help_panel=LOOK)(report)
app.command(
    epilog="Example: vcfe-bench submit runs/400 runs/100 --by 'A. Author' --paper https://arxiv.org/abs/0000.00000 "
    "--code https://example.org/my-method",
    rich_help_panel=EXTEND,
)(submit)
app.command(epilog="Example: vcfe-bench runs", rich_help_panel=LOOK)(runs)
app.command("list", epilog="Example: vcfe-bench list methods", rich_help_panel=LOOK)(list_plugins)
app.command("check-plugin", epilog="Example: vcfe-bench check-plugin pgd", rich_help_panel=EXTEND)(check_plugin)
app.command(epilog="Example: vcfe-bench doctor", rich_help_panel=EXTEND)(doctor)
app.add_typer(new_app, name="new", rich_help_panel=EXTEND)
app.add_typer(dataset_app, name="dataset", rich_help_panel=EXTEND)
app.add_typer(train_app, name="train", rich_help_panel=NETWORKS)
app.add_typer(evaluate_app, name="evaluate", rich_help_panel=NETWORKS)
app.add_typer(validate_app, name="validate", rich_help_panel=EXTEND)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"vcfe-bench {version('vcfe-bench')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
    debug: Annotated[bool, Option("--debug", help="Show the traceback of an error. May stand anywhere.")] = False,
) -> None:
    """Generate, score and compare counterfactual explanations of video classifiers."""


def main() -> None:
    """Entry point. Signs that the terminal or a redirected output cannot encode are replaced."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(exits.run(app, sys.argv[1:]))
