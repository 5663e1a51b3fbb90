"""``vcfe-bench check``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option, echo


def check(
    against: Annotated[
        Path,
        Option(help="The baseline: a committed .csv with its .parquet and .json, or the directory of another run."),
    ],
    directories: Annotated[
        list[Path] | None,
        Argument(
            metavar="RUN...",
            help="Directory of a run, or of several that differ in their seed alone; by default the latest in runs/.",
        ),
    ] = None,
    tolerance: Annotated[
        str,
        Option(
            help="How large a loss may be, e.g. FR=0.02,SSIM=0.005, and how many videos may lack a result, e.g. "
            "missing=1; by default 0."
        ),
    ] = "",
    strict: Annotated[
        bool, Option("--strict", help="Also fail where a loss beyond the tolerance may be noise ('cannot tell').")
    ] = False,
    junit: Annotated[Path | None, Option(help="Write a JUnit report to this file.")] = None,
    github: Annotated[bool, Option("--github", help="Print annotations for GitHub Actions.")] = False,
    update: Annotated[
        bool, Option("--update", help="Make the run the new baseline: write the .csv, .parquet and .json.")
    ] = False,
) -> None:
    """Compare a run with a baseline: exit code 0 if no deciding metric got worse, 1 if one did, 2 on misuse."""
    from rich.console import Console

    from vcfe_bench.core.errors import UsageError
    from vcfe_bench.results.gate import baseline, files, gate
    from vcfe_bench.results.gate import report as gate_report
    from vcfe_bench.results.gate.sensitivity import sensitivity
    from vcfe_bench.runs.found import latest

    allowed = _tolerance(tolerance)
    run = baseline.of_run(*(directories or [latest()]))
    if update:
        files.write(run, against)
        echo(f"wrote {against}, {against.with_suffix('.parquet').name} and {against.with_suffix('.json').name}")
        return
    other = files.read(against)
    findings = gate.check(run, other, allowed, strict)
    seen = sensitivity(other, [each.pair for each in findings if each.pair], other.about.deciding)
    console = Console(highlight=False)
    for table in gate_report.tables(findings, seen):
        console.print(table)
    for line in gate_report.lines(findings):
        echo(line)
    if github:
        for line in gate_report.github(findings):
            echo(line)
    try:
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(file := Path(summary)).open("a", encoding="utf-8") as stream:
                stream.write(gate_report.markdown(findings, seen))
        if junit is not None:
            (file := junit).write_text(gate_report.junit(findings), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror or error}") from None
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
