"""``vcfe-bench doctor``."""

from __future__ import annotations


def doctor() -> None:
    """Print versions and devices, and which parts do not work on this machine and why."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from vcfe_bench.workflows.doctor import examine

    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("part", "name", ""):
        table.add_column(title, overflow="fold")
    for part in examine():
        state = Text(part.about or "works") if part.problem is None else Text(part.problem, style="yellow")
        table.add_row(part.kind, part.name, state)
    Console().print(table)
