"""What stands in one cell of a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from rich.text import Text

from vcfe_bench.core.text import number
from vcfe_bench.plugins.metric import CRITERIA
from vcfe_bench.runs.configuration import REFERENCES

ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}


CALLS = "evaluations_"


RECONSTRUCTION = "reconstruction"
"""The reference that is the generator's floor."""


def shown(frame: pd.DataFrame, metrics: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Metrics with a value somewhere, by criterion."""
    for criterion in CRITERIA:
        found = [m for m in metrics if m.get("criterion") == criterion and frame[m["name"]].notna().any()]
        if found:
            yield criterion, found


def cell(row: pd.Series, metric: Mapping[str, Any]) -> Text:
    """A metric's value in a row, with its interval, its floor, and its n where that is not the row's."""
    name, value = metric["name"], row[metric["name"]]
    if math.isnan(value):
        return Text("-", style="dim")
    cell = Text(number(value))
    if not math.isnan(row[f"{name}_low"]):
        cell.append(f" [{number(row[f'{name}_low'])}, {number(row[f'{name}_high'])}]", style="dim")
    if metric["level"] != "set" and row[f"{name}_n"] != row["n"]:
        cell.append(f" n={row[f'{name}_n']:.0f}", style="yellow")
    if metric["level"] == "set":
        floor, reconstruction = row[f"{name}_floor"], row[f"{name}_{RECONSTRUCTION}"]
        cell.append(f" floor {'-' if math.isnan(floor) else number(floor)}", style="dim")
        if row["method"] not in REFERENCES and not math.isnan(reconstruction):
            cell.append(f", D(E(x)) {number(reconstruction)}", style="dim")
    return cell


def calls(row: pd.Series) -> str:
    """Calls of each network per video, in words."""
    calls = {str(name).removeprefix(CALLS): row[name] for name in row.index if str(name).startswith(CALLS)}
    return ", ".join(f"{network} {count:,.0f}" for network, count in calls.items() if count > 0)
