"""The command that repeats a run."""

from __future__ import annotations

import shlex

from vcfe_bench.runs.configuration import NONE, REFERENCES, Configuration


def command(made: Configuration) -> str:
    """The command that makes a run of a configuration."""
    options = {
        "methods": ",".join(method for method in made.methods if method not in REFERENCES),
        "dataset": made.dataset,
        "split": made.split,
        "limit": made.limit,
        "goals": made.goals,
        "target": made.target.spec,
        "generator": made.generator.spec if made.generator else NONE,
        "seed": made.seed,
        "budget": made.budget,
    }
    words = (f"--{name} {shlex.quote(str(value))}" for name, value in options.items() if value not in ("", None))
    return " ".join(["vcfe-bench run", *words])
