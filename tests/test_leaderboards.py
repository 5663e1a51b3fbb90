"""The committed tables: those from papers name their source, ours say where they come from and can be reproduced."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from vcfe_bench.results.gate import baseline, files, gate
from vcfe_bench.runs.configuration import NONE, REFERENCES
from vcfe_bench.runs.setup import Request
from vcfe_bench.workflows import run as runner

TABLES = Path(__file__).parents[1] / "leaderboards"
OURS = sorted(TABLES.glob("*.csv"))
CHEAP = {"pgd", *REFERENCES}
"""Methods that take less than a second per question."""


def test_every_published_table_has_its_source() -> None:
    sources = (TABLES / "paper" / "README.md").read_text(encoding="utf-8")
    published = sorted((TABLES / "paper").glob("*.csv"))
    assert published
    for path in published:
        assert f"| `{path.name}` |" in sources
        assert len(pd.read_csv(path))


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_a_table_of_ours_says_where_it_comes_from(path: Path) -> None:
    committed = files.read(path)
    about = committed.about
    assert set(about.configuration.methods) == set(about.methods)
    assert about.vcfe_bench
    assert about.revision
    assert {card.name for card in about.metrics} <= set(committed.frame)
    assert set(about.deciding) <= set(pd.read_csv(path))


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [path for path in OURS if set(files.read(path).about.methods) <= CHEAP], ids=lambda path: path.stem
)
def test_a_cheap_table_comes_out_again(path: Path, tmp_path: Path) -> None:
    committed = files.read(path)
    made = committed.about.configuration
    request = Request(
        tuple(made.methods),
        made.dataset,
        made.split,
        made.limit,
        made.goals,
        made.target.spec,
        made.generator.spec if made.generator else NONE,
        seed=made.seed,
    )
    metrics = tuple(card.spec for card in committed.about.metrics)
    again = baseline.of_run(runner.run(request, tmp_path / "run", metrics))
    assert [str(finding) for finding in gate.check(again, committed, {}) if finding.failing] == []
    assert again.about.methods == committed.about.methods
