"""``vcfe-bench check-plugin``."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Exit, Option, echo


def check_plugin(
    method: Annotated[str, Argument(help="Method spec, e.g. pgd or 'pgd[steps=3]'.")],
    dataset: Annotated[
        str, Option(help="Dataset whose videos, target and generator are used; by default a small one.")
    ] = "",
) -> None:
    """Check that a method keeps its contract: shapes, range, seeds, batch neighbours. Exit code 1 if it does not."""
    from vcfe_bench.authoring import conformance

    broken = False
    for finding in conformance.check(method, dataset or conformance.DATASET):
        broken |= finding.problem is not None
        remark = finding.problem or finding.note
        echo(f"{'FAIL' if finding.problem else 'ok  '} {finding.rule}{f': {remark}' if remark else ''}")
    raise Exit(int(broken))
