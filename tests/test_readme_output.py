"""The output of the quick start in README and on the start page is that of the committed table."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from vcfe_bench.results.summary import short
from vcfe_bench.runs.configuration import REFERENCES
from vcfe_bench.runs.records import ScoredCard

ROOT = Path(__file__).parents[1]
COLUMNS = {
    "FR↑": ("FR", "rate", "sample"),
    "semFR↑": ("semantic_FR", "rate", "sample"),
    "valid↑": ("valid_share", "rate", "sample"),
    "SSIM↑": ("SSIM", "", "sample"),
    "LPIPS*↓": ("LPIPS(st-alex)", "", "sample"),
    "FVD↓": ("FVD(i3d)", "", "set"),
}


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_table_in_readme_and_on_the_start_page_is_that_of_the_committed_run(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    (block,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    about = json.loads((ROOT / "leaderboards" / "shape_moving_start.json").read_text(encoding="utf-8"))
    methods = [method for method in about["methods"] if method not in REFERENCES]
    budget = about["configuration"]["budget"]
    assert f"vcfe-bench run --methods {','.join(methods)} --dataset shape_moving --budget {budget:g}\n" in text
    lines = [line.split() for line in block.splitlines()]
    head = lines[1]
    table = pd.read_csv(ROOT / "leaderboards" / "shape_moving_start.csv").set_index("method")
    rows = {line[0]: dict(zip(head, line, strict=True)) for line in lines[2:] if line[0] in table.index}
    assert set(rows) == set(table.index)
    for method, row in rows.items():
        for title, (name, unit, level) in COLUMNS.items():
            card = ScoredCard(name, name, level, unit=unit)  # type: ignore[arg-type]
            assert row[title] == short(float(table.loc[method, name]), card), (method, name)
    assert max(len(line) for line in block.splitlines()) <= 80
