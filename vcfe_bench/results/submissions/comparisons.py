"""The paired tests of a submitted row against the rows next to it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from vcfe_bench.results.gate.baseline import Result
from vcfe_bench.results.rows import asked
from vcfe_bench.results.submissions import rules
from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.stats import significance

NUMBERS = ("difference", "low", "high", "p", "p_holm")


def table(results: Sequence[Result], method: str) -> pd.DataFrame:
    """The method ``method`` against each other one, with all seeds, on the videos and goals that both were asked.

    Returns:
        A row for each budget, deciding metric of single videos, and other method: the mean ``difference`` of the values
        of ``method`` and ``other`` with its 95 % interval (``low``, ``high``), the number of ``videos``, and the ``p``
        of ``significance.paired_difference``; ``p_holm`` is adjusted for all rows.
    """
    rows: list[dict[str, object]] = []
    for budget in sorted({result.about.configuration.budget or 0.0 for result in results}):
        members = [result for result in results if (result.about.configuration.budget or 0.0) == budget]
        names = dict.fromkeys(spec for result in members for spec in result.about.methods)
        own = [spec for spec in names if rules.name(spec) == method]
        others = [spec for spec in names if spec not in own and spec not in REFERENCES]
        parts = [asked(result.records, result.about.metrics) for result in members if result.records is not None]
        records = pd.concat(parts)
        values = {spec: records[records["method"] == spec] for spec in names}
        for card in members[0].about.metrics:
            if card.level != "sample" or card.name not in members[0].about.deciding:
                continue
            answers = {spec: significance.answers(part, card.name) for spec, part in values.items()}
            for spec in own:
                for other in others:
                    found = significance.paired(answers[spec], answers[other])
                    pair = {"budget": budget, "metric": card.name, "method": spec, "other": other}
                    interval = {"difference": found.value, "low": found.low, "high": found.high}
                    rows.append({**pair, **interval, "videos": found.clusters, "p": found.p})
    frame = pd.DataFrame(rows, columns=["budget", "metric", "method", "other", *NUMBERS[:3], "videos", "p"])
    return frame.assign(p_holm=significance.holm(frame["p"].tolist()))
