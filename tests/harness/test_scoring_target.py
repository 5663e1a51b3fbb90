"""Metrics that query the run's target again."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from vcfe_toys.models import Conv

from tests.harness.toys import ask
from vcfe_bench.core.errors import UsageError
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.workflows import run as runner

METRICS = ("toy_flip", "confidence_shuffled")


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    return runner.run(ask("toy_push", limit=3), tmp_path / "run", METRICS)


def test_the_target_is_that_of_the_run(scored: Path) -> None:
    """The toy target ignores the order of the frames, so both confidences are equal."""
    records = pd.read_parquet(scored / "records.parquet")
    for row in records.to_dict("records"):
        expected = torch.tensor(row["after"]).softmax(0)[int(row["goal"][-1])].item()
        assert row["confidence_shuffled"] == pytest.approx(expected, abs=1e-5)


def test_a_changed_target_is_refused_if_a_metric_queries_it(scored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conv, "fingerprint", "other weights")
    with pytest.raises(UsageError, match="target 'toy_conv' has changed since the run"):
        runner.rescore(scored, METRICS)
    runner.rescore(scored, ("toy_flip",))


def test_by_default_the_card_has_the_reason_for_missing_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = runner.run(ask("toy_push", limit=2), tmp_path / "run", ("toy_flip",))
    monkeypatch.setattr(Conv, "fingerprint", "other weights")
    runner.rescore(out)
    cards = {card["name"]: card for card in RunDirectory(out).json("metrics.json")}
    assert "has changed since the run" in cards["survives_blur"]["unavailable"]
    assert cards["L1"]["unavailable"] is None
    records = pd.read_parquet(out / "records.parquet")
    assert records["survives_blur"].isna().all()
    assert records["L1"].notna().all()
