"""Metrics that query the run's generator or further targets, and the curves behind their values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vcfe_toys.models import Blocks

from tests.harness.toys import ask
from vcfe_bench.core.errors import UsageError
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.workflows import run as runner

OTHERS = "toy_networks[targets=[toy_conv,toy_conv[version=2],toy_conv[version=3]]]"


def run(out: Path, metric: str = "toy_networks", **rest: Any) -> RunDirectory:
    return RunDirectory(runner.run(ask("toy_push", limit=2, **rest), out, ("toy_flip", metric)))


def card(store: RunDirectory) -> dict[str, Any]:
    return next(card for card in store.json("metrics.json") if card["name"] == "networks")


def test_the_generator_is_that_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = run(tmp_path / "run")
    assert (store.table("records.parquet")["networks"] == 2).all()
    monkeypatch.setattr(Blocks, "fingerprint", "other blocks")
    with pytest.raises(UsageError, match="generator 'toy_blocks' has changed since the run"):
        runner.rescore(store.path, ("toy_networks",))


def test_without_a_generator_the_card_has_the_reason(tmp_path: Path) -> None:
    store = run(tmp_path / "run", generator="none")
    assert card(store)["unavailable"] == "the run has no generator"
    records = store.table("records.parquet")
    assert records.loc[records["status"] == "ok", "toy_FR"].notna().all()


def test_other_targets_are_those_named_except_for_the_explained_one(tmp_path: Path) -> None:
    assert (run(tmp_path / "three", OTHERS).table("records.parquet")["networks"] == 4).all()
    store = run(tmp_path / "one", "toy_networks[targets=[toy_conv]]")
    assert card(store)["unavailable"] == "no target is named other than the one that the run explains"


def test_other_targets_have_the_datasets_classes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"target 'toy_meter' predicts the classes none; .* has left, middle, right"):
        run(tmp_path / "run", "toy_networks[targets=[toy_meter]]")


def test_curves_are_stored_by_record(tmp_path: Path) -> None:
    store = run(tmp_path / "run")
    for row in store.table("records.parquet").itertuples():
        curves = store.arrays("curves", row.id)
        assert curves is not None
        np.testing.assert_allclose(curves["before"], row.before, atol=1e-6)
