"""The findings of the gate as text, as Markdown, as JUnit XML and as GitHub annotations."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from vcfe_bench.core.text import in_markdown
from vcfe_bench.results.gate.gate import Finding
from vcfe_bench.results.gate.sensitivity import LOSS, Sensitivity

ANNOTATED = {
    "worse": "error",
    "lost": "error",
    "cannot tell": "warning",
    "informs": "notice",
    "note": "notice",
}
"""Annotation levels by verdict; other verdicts have none. Whatever fails is an error."""
VALUES = ("method", "metric", "baseline", "run", "loss", "p", "verdict")
SEEN = ("metric", "videos", "smallest loss seen", f"videos to see {LOSS:g}")
MISSING = "-"


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """A line for each finding that fails or that ``tables`` does not show, failing ones first, then the counts."""
    for finding in sorted(findings, key=lambda finding: not finding.failing):
        if finding.failing or finding.pair is None:
            yield f"{finding.verdict:<12} {finding}"
    counts = Counter(finding.verdict for finding in findings if finding.verdict != "note")
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    failed = any(finding.failing for finding in findings)
    yield f"{'FAILED' if failed else 'passed'}: {summary}"


def tables(findings: Sequence[Finding], seen: Sequence[Sensitivity]) -> Iterator[RenderableType]:
    """The values that were compared, and what the comparison could see."""
    for title, columns, rows in _tables(findings, seen):
        table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(column, justify="left" if column in ("method", "metric", "verdict") else "right")
        for row in rows:
            table.add_row(*map(escape, row))
        yield table


def markdown(findings: Sequence[Finding], seen: Sequence[Sensitivity]) -> str:
    """The result of the comparison for the summary of a job on GitHub."""
    *others, result = lines(findings)
    parts = [f"### vcfe-bench check: {in_markdown(result)}"]
    for title, columns, rows in _tables(findings, seen):
        cells = [columns, ["---"] * len(columns), *([in_markdown(cell) for cell in row] for row in rows)]
        parts.append("\n".join([f"**{title}**", "", *(f"| {' | '.join(row)} |" for row in cells)]))
    parts.append("\n".join(f"- {in_markdown(line)}" for line in others))
    return "\n\n".join(filter(None, parts)) + "\n"


def _tables(
    findings: Sequence[Finding], seen: Sequence[Sensitivity]
) -> Iterator[tuple[str, Sequence[str], list[list[str]]]]:
    rows = [
        [
            finding.method,
            finding.metric,
            *map(_number, (finding.pair.before, finding.pair.after, finding.pair.loss, finding.p)),
            finding.verdict,
        ]
        for finding in findings
        if finding.pair is not None
    ]
    if rows:
        yield "Deciding metrics (loss: by how much the run is worse)", VALUES, rows
    if seen:
        yield (
            "Losses that this comparison sees in four of five cases",
            SEEN,
            [
                [
                    each.metric,
                    str(each.videos),
                    "none" if math.isnan(each.smallest) else _number(each.smallest),
                    MISSING if math.isnan(each.needed) else f"{each.needed:.0f}{' (5 %)' * each.relative}",
                ]
                for each in seen
            ],
        )


def _number(value: float) -> str:
    return MISSING if math.isnan(value) else f"{value:.3g}" if abs(value) < 1e4 else f"{value:.4g}"


def github(findings: Sequence[Finding]) -> Iterator[str]:
    """Workflow commands for GitHub Actions, one line each."""
    for finding in findings:
        if finding.verdict in ANNOTATED:
            level = "error" if finding.failing else ANNOTATED[finding.verdict]
            text = str(finding).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
            yield f"::{level} title=vcfe-bench check ({finding.verdict})::{text}"


def junit(findings: Sequence[Finding]) -> str:
    """A JUnit XML report with one test case per finding."""
    failing = sum(finding.failing for finding in findings)
    suite = ET.Element("testsuite", name="vcfe-bench check", tests=str(len(findings)), failures=str(failing))
    for finding in findings:
        case = ET.SubElement(suite, "testcase", classname=finding.method or "all", name=finding.metric or "present")
        if finding.failing:
            ET.SubElement(case, "failure", type=finding.verdict, message=finding.text)
        elif finding.verdict != "same":
            ET.SubElement(case, "system-out").text = f"{finding.verdict}: {finding.text}"
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
