"""``vcfe-bench check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option, echo


def check(
    directory: Annotated[Path, Argument(metavar="RUN", help="Directory of a run.")],
    against: Annotated[
        Path, Option(help="The baseline: a committed .csv with its .json, or the directory of another run.")
    ],
    tolerance: Annotated[
        str,
        Option(help="How far metrics may move, e.g. FR=0.02,SSIM=0.005; by default within the baseline's interval."),
    ] = "",
    junit: Annotated[Path | None, Option(help="Write a JUnit report to this file.")] = None,
    github: Annotated[bool, Option("--github", help="Print annotations for GitHub Actions.")] = False,
    update: Annotated[
        bool, Option("--update", help="Make the run the new baseline: write the .csv and its .json.")
    ] = False,
) -> None:
    """Compare a run with a baseline: exit code 0 if no metric got worse, 1 if one did, 2 on misuse."""
    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.results.gate import baseline, gate
    from vcfe_bench.results.gate import report as gate_report

    allowed = _tolerance(tolerance)
    run = baseline.of_run(directory)
    if update:
        baseline.write(run, against)
        echo(f"wrote {against} and {against.with_suffix('.json').name}")
        return
    findings = gate.check(run, baseline.read(against), allowed)
    for line in gate_report.lines(findings):
        echo(line)
    if github:
        for line in gate_report.github(findings):
            echo(line)
    if junit is not None:
        try:
            junit.write_text(gate_report.junit(findings))
        except OSError as error:
            raise UsageError(f"cannot write {junit}: {error.strerror or error}") from None
    raise Exit(int(any(finding.failing for finding in findings)))


def _tolerance(text: str) -> dict[str, float]:
    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.plugins import specs

    tolerance = {}
    for piece in specs.split(text):
        name, _, value = piece.partition("=")
        try:
            allowed = float(value)
        except ValueError:
            allowed = -1.0
        if not allowed >= 0:
            raise UsageError(f"'{piece}' in --tolerance is not of the form METRIC=NUMBER, e.g. FR=0.02")
        tolerance[name.strip()] = allowed
    return tolerance
