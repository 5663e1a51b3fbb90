"""What was tried and what came of it: the lines of the table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

GOOD = ("survived", "contained", "refused", "detected", "remade", "harmless", "resumed", "one line")
"""Outcomes that are promised."""


@dataclass
class Line:
    """One line of the table.

    Attributes:
        what: what was done.
        promise: what has to come of it.
        outcomes: how often what came of it.
        failures: cases with another outcome, in words.
    """

    what: str
    promise: str
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, outcome: str, case: str = "") -> None:
        self.outcomes[outcome] += 1
        if outcome not in GOOD:
            self.failures.append(f"{self.what}: {outcome}: {case}")

    @property
    def tried(self) -> int:
        return self.outcomes.total()

    @property
    def kept(self) -> int:
        return sum(count for outcome, count in self.outcomes.items() if outcome in GOOD)


def table(lines: list[Line]) -> str:
    """The lines as a Markdown table."""
    rows = ["| what is done | tried | as promised | outcomes | promise |", "|---|---:|---:|---|---|"]
    for line in lines:
        outcomes = ", ".join(f"{count} {name}" for name, count in line.outcomes.most_common())
        rows.append(f"| {line.what} | {line.tried} | {line.kept} | {outcomes} | {line.promise} |")
    return "\n".join(rows)
