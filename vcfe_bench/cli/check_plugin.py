"""``vcfe-bench check-plugin``."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Exit, Option, echo


def check_plugin(
    method: Annotated[str, Argument(help="Method spec, e.g. pgd or 'pgd[steps=3]'.")],
    dataset: Annotated[str, Option(help="Whose videos, target and generator the method is tried out on.")] = "",
) -> None:
    """Try out whether a method keeps the contract: shapes, range, seeds, neighbours. Exit code 1 when it does not."""
    from vcfe_bench.authoring import conformance

    broken = False
    for finding in conformance.check(method, dataset or conformance.WORLD):
        broken |= finding.problem is not None
        said = finding.problem or finding.note
        echo(f"{'FAIL' if finding.problem else 'ok  '} {finding.rule}{f': {said}' if said else ''}")
    raise Exit(int(broken))
