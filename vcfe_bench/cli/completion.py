"""Names of plug-ins and of run directories for the completion of the shell; nothing heavy is imported for them."""

from __future__ import annotations

from collections.abc import Callable


def plugins(kind: str) -> Callable[[str], list[str]]:
    """Completes the last of the specs, separated by commas, with the names of plug-ins of a kind."""

    def complete(incomplete: str) -> list[str]:
        from vcfe_bench.plugins.names import names

        before, comma, word = incomplete.rpartition(",")
        return [before + comma + name for name in names(kind) if name.startswith(word)]

    return complete


def runs(incomplete: str) -> list[str]:
    """Run directories in ``runs/``."""
    from vcfe_bench.runs.found import run_directories

    return [path for path in map(str, run_directories()) if path.startswith(incomplete)]
