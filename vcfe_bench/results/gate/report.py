"""The findings of the gate as text, as JUnit XML and as GitHub annotations."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence

from vcfe_bench.results.gate.gate import Finding

ANNOTATED = {"worse": "error", "lost": "error", "incomparable": "error", "new": "notice", "note": "notice"}
"""Annotation levels by verdict; other verdicts have none."""


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """A line for each finding except those that stayed the same, failing ones first, then the counts."""
    for finding in sorted(findings, key=lambda finding: not finding.failing):
        if finding.verdict != "same":
            yield f"{finding.verdict:<12} {finding}"
    counts = Counter(finding.verdict for finding in findings if finding.verdict != "note")
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    failed = any(finding.failing for finding in findings)
    yield f"{'FAILED' if failed else 'passed'}: {summary}"


def github(findings: Sequence[Finding]) -> Iterator[str]:
    """Workflow commands for GitHub Actions, one line each."""
    for finding in findings:
        if finding.verdict in ANNOTATED:
            text = str(finding).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
            yield f"::{ANNOTATED[finding.verdict]} title=vcfe-bench check ({finding.verdict})::{text}"


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
