"""Run directories that lie in a folder."""

from __future__ import annotations

import json
from pathlib import Path

from vcfe_bench.core.errors import UsageError, describe
from vcfe_bench.runs.configuration import REFERENCES

RUNS = Path("runs")
"""Where runs are written that name no directory."""
CONFIGURATION, TABLE = "run.json", "leaderboard.csv"


def run_directories(root: Path = RUNS) -> list[Path]:
    """Run directories in a folder, up to two levels deep, the one that was last written to first."""
    found = {file.parent for pattern in ("*", "*/*") for file in root.glob(f"{pattern}/{CONFIGURATION}")}
    return sorted(found, key=changed, reverse=True)


def changed(path: Path) -> float:
    """When a run was last written to, in seconds since 1970."""
    return max(file.stat().st_mtime for name in (CONFIGURATION, TABLE) if (file := path / name).exists())


def latest(root: Path = RUNS) -> Path:
    """The run directory that was last written to.

    Raises:
        UsageError: there is none.
    """
    found = run_directories(root)
    if not found:
        raise UsageError(f"there is no run in {root}/: name a run directory, or make one with vcfe-bench run")
    return found[0]


def overview(path: Path) -> str:
    """What a run was asked, and by which methods, in one line."""
    try:
        made = json.loads((path / CONFIGURATION).read_text(encoding="utf-8"))["configuration"]
        methods = [method for method in made["methods"] if method not in REFERENCES]
        scored = "" if (path / TABLE).exists() else ", not scored yet"
        return f"{', '.join(methods)} on {made['dataset']}, {made['target']['spec']}, {made['limit']} videos{scored}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"cannot be read: {describe(error)}"
