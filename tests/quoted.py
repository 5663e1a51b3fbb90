"""Numbers that the documentation quotes from committed tables.

A line ``<!-- numbers: shape_moving -->`` names the tables (of ``leaderboards/``, without ``.csv``) that the numbers
below it come from, up to the next such line or heading; ``<!-- board: … -->`` and ``<!-- validation: … -->``, which
insert a table, do the same. ``<!-- numbers: none -->`` marks numbers of no table. A number is compared with the cells
of the methods and metrics that its paragraph or table row mentions, rounded to the digits that it is quoted with. When
a table is made again, the failing test lists the quotations that no longer agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from vcfe_bench.results.gate import files

BOARDS = Path(__file__).parents[1] / "leaderboards"
SOURCE = re.compile(r"^<!-- (numbers|board|validation): ([\w/ ]+) -->$")
METHODS = {
    r"\bBTTF\b": ("bttf",),
    r"style loss": ("bttf[style=false]",),
    r"inversion": ("bttf[inversion_iterations=40]",),
    r"\bPGD\b": ("pgd",),
    r"LD-ViCE": ("ldvice",),
    r"refinement": ("ldvice_ra",),
    r"half-noised": ("cg_video_mid",),
    r"full noise": ("cg_video",),
    r"[Ff]rame-by-frame|CG-Frame": ("cg_frame",),
    r"three kinds of guidance": ("cg_frame", "cg_video", "cg_video_mid"),
}
"""How the prose refers to methods."""
METRICS = {
    r"\bflip(s|ped)?\b|\bFR\b": ("FR",),
    r"semantic|requested|meaning": ("semantic_FR",),
    r"transfer": ("transfer_FR",),
    r"surviv": ("survives_reconstruction",),
    r"distractor": ("shortcut_changed",),
    r"object changes|the object\b": ("cause_changed",),
    r"\boracle\b": ("semantic_FR",),
    r"roughness|jerk": ("roughness", "jerk"),
    r"predicted value": ("MAE",),
    r"\bcalls\b": ("calls",),
    **{rf"\b{name}": (name,) for name in ("SSIM", "LPIPS", "FID", "FVD")},
}
"""How the prose refers to metrics; a name stands for all columns that begin with it."""
NOT_MEASURED = re.compile(
    r"Python [\d.]+|\b(?:19|20)\d\d\b|p [<=] [\d.]+|\b\d+ %|[Tt]ables? S?\d+|[Ff]igures? \d+|arXiv [\d.]+"
    r"|[Ss]ection [\dA-Z.]+|[εσ] = [\d.]+|√\([^)]*\)"
)
NUMBER = re.compile(r"(?<![\w.,/-])(?:(\d+) of (?:the |its )?(\d+)|(\d+\.\d+|\d{1,3},\d{3}|\d{3,}))(?![\w/]|\.\d|,\d)")
BOUNDS = ("", "_low", "_high", "_floor", "_reconstruction")


@dataclass(frozen=True)
class Block:
    """A paragraph, list item or table row, and the tables that its numbers are from; None if none is named."""

    page: Path
    text: str
    tables: tuple[str, ...] | None

    @property
    def prose(self) -> str:
        """The text without code, targets of links, and numbers that are no measurements."""
        cells = [cell.strip() for cell in self.text.strip().strip("|").split(" | ")]
        of_a_paper = self.text.startswith("|") and cells[0].startswith(("BTTF,", "LD-ViCE,"))
        text = cells[-1] if of_a_paper else self.text
        return NOT_MEASURED.sub("", re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "", text)))

    def numbers(self) -> list[str]:
        """The measured numbers: ``k of n``, decimals, and integers of three or more digits."""
        return [match[0] for match in NUMBER.finditer(self.prose)]

    def wrong(self) -> list[str]:
        """Those numbers that none of the tables has, for the methods and metrics that the block mentions."""
        cells = [cell for name in self.tables or () for cell in _cells(name, self.text)]
        values = {value for cell in cells for value in cell.values}
        return [
            number
            for number in self.numbers()
            if not (
                any(cell.counts >= set(map(int, re.findall(r"\d+", number))) for cell in cells)
                if " of " in number
                else any(_rounded(value, number) for value in values)
            )
        ]


@dataclass(frozen=True)
class Cells:
    """What a row of a table says about the metrics mentioned: values, and counts of successes and of videos."""

    values: frozenset[float]
    counts: frozenset[int]


def blocks(page: Path) -> Iterator[Block]:
    """The paragraphs, list items and table rows of a page outside of fenced code."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    tables: tuple[str, ...] | None = None
    for part in re.split(r"\n\s*\n|\n(?=[-|#]|<!--)", text):
        line = part.strip()
        if match := SOURCE.match(line):
            folder = "validation/" if match[1] == "validation" else ""
            tables = () if match[2] == "none" else tuple(folder + name for name in match[2].split())
        elif line.startswith("#"):
            tables = None
        elif line:
            yield Block(page, line, tables)


@lru_cache
def _table(name: str) -> pd.DataFrame:
    path = BOARDS / f"{name}.csv"
    return files.read(path).frame if path.with_suffix(".json").exists() else pd.read_csv(path)


def _cells(name: str, text: str) -> list[Cells]:
    table = _table(name)
    if "auroc" in table:
        chosen = table[[f"`{metric.split('(')[0]}" in text for metric in table["metric"]]]
        return [Cells(frozenset(chosen["auroc"]), frozenset())]
    by_code = np.array([f"`{method}`" in text for method in table["method"]])
    spoken = _mentioned(METHODS, text)
    rows = table[table["method"].str.startswith(spoken) | by_code] if spoken or by_code.any() else table
    names = [c for c in table if c == "calls" or f"{c}_n" in table or f"{c}_floor" in table]
    spoken = (*_mentioned(METRICS, text), *(each for each in names if f"`{each}`" in text))
    chosen = [each for each in names if not spoken or each.startswith(spoken)]
    return [_of(row.dropna(), chosen) for _, row in rows.query("n > 0").iterrows()]


def _of(row: Mapping[str, float], metrics: list[str]) -> Cells:
    columns = [metric + bound for metric in metrics for bound in BOUNDS]
    counts = [int(row[f"{m}_n"]) for m in metrics if f"{m}_n" in row] + [int(row["n"])]
    rates = [m for m in metrics if m in row and f"{m}_n" in row and 0 <= row[m] <= 1]
    hits = [row[m] * row[f"{m}_n"] for m in rates]
    return Cells(
        frozenset(float(row[column]) for column in columns if column in row),
        frozenset([*counts, *(round(hit) for hit in hits if abs(hit - round(hit)) < 1e-6)]),
    )


def _mentioned(names: Mapping[str, tuple[str, ...]], text: str) -> tuple[str, ...]:
    return tuple(name for pattern, all_of in names.items() if re.search(pattern, text) for name in all_of)


def _rounded(value: float, number: str) -> bool:
    return f"{value:.{len(number.partition('.')[2])}f}" == number.replace(",", "")
