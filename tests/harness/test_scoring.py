"""Scores of stored videos."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from vcfe_toys.dataset import Lights
from vcfe_toys.metrics import Flip

from tests.harness.toys import METRICS, ask, run
from vcfe_bench.core.errors import UsageError
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.workflows import run as runner


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scored") / "run"
    run(out, "toy_push", limit=6)
    return out


@pytest.fixture
def copy(scored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scored, tmp_path / "run"))


def test_values_are_those_of_the_stored_videos(scored: Path) -> None:
    records, store = pd.read_parquet(scored / "records.parquet"), RunDirectory(scored)
    for row in records.itertuples():
        before, after = (store.video(name).double() / 255 for name in (row.original, row.video))
        if row.sample != "light-2":
            assert row.change == pytest.approx(float((before - after).abs().mean()), abs=1e-6)
    assert records["missing(net)"].isna().all()


def test_set_metrics_compare_with_the_originals_and_have_a_floor_at_the_same_n(scored: Path) -> None:
    records, store = pd.read_parquet(scored / "records.parquet"), RunDirectory(scored)
    sets = pd.read_parquet(scored / "sets.parquet").set_index("method")
    push = records[records["method"] == "toy_push"]
    means = [
        torch.stack([store.video(name).double().mean(dim=(0, 2, 3)) / 255 for name in push[column]]).mean(dim=0)
        for column in ("original", "video")
    ]
    assert sets.loc["toy_push", "value"] == pytest.approx(float((means[0] - means[1]).abs().sum()), abs=1e-5)
    assert sets.loc["no_edit", "value"] == 0
    assert (sets["n"] == 6).all()
    assert (sets["floor_n"] == 6).all()
    assert sets["floor"].nunique() == 1
    assert 0 < sets["floor"].iloc[0] < 0.1


def test_there_is_no_floor_if_the_split_has_no_other_videos(tmp_path: Path) -> None:
    run(tmp_path / "run", limit=6, dataset="toy_lights[videos=10]")
    sets = pd.read_parquet(tmp_path / "run" / "sets.parquet")
    assert sets["floor"].isna().all()
    assert sets["value"].notna().all()


def test_features_are_computed_once_per_video(scored: Path) -> None:
    features = list((scored / "features" / "mean-colour").iterdir())
    assert len(features) == 6 * (1 + 3 + 1), "originals, three edits of each (no_edit adds none), others of the floor"


def test_the_card_reports_the_videos_on_which_a_metric_fails(scored: Path) -> None:
    (card,) = [card for card in RunDirectory(scored).json("metrics.json") if card["name"] == "change"]
    assert card["problems"] == "failed on 4 videos: ValueError: too dark"
    (card,) = [card for card in RunDirectory(scored).json("metrics.json") if card["name"] == "missing(net)"]
    assert card["unavailable"] == "net.safetensors is missing"


def test_a_resumed_run_has_the_installed_versions_of_the_metrics(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flip, "score", lambda self, case: 0.5)
    run(copy, "toy_push", limit=6)
    assert set(pd.read_parquet(copy / "records.parquet")["toy_FR"]) <= {0.0, 1.0}
    monkeypatch.setattr(Flip, "card", replace(Flip.card, version=2))
    run(copy, "toy_push", limit=6)
    assert set(pd.read_parquet(copy / "records.parquet")["toy_FR"]) == {0.5}


def test_a_score_outside_the_range_on_the_card_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"light-0": 1.5, "light-1": 1 + 1e-9}
    monkeypatch.setattr(Flip, "score", lambda self, case: values.get(case.sample.id, 0.0))
    run(tmp_path / "run", "toy_push", limit=4)
    push = pd.read_parquet(tmp_path / "run" / "records.parquet").query("method == 'toy_push'").set_index("sample")
    assert math.isnan(push.loc["light-0", "toy_FR"])
    assert push.loc["light-1", "toy_FR"] == 1
    assert pd.read_csv(tmp_path / "run" / "leaderboard.csv").set_index("method").loc["toy_push", "toy_FR_n"] == 3
    (card,) = [card for card in RunDirectory(tmp_path / "run").json("metrics.json") if card["name"] == "toy_FR"]
    assert card["problems"].endswith("ContractError: 1.5 is outside the range on the card, 0 to 1")


def test_rescoring_gives_the_same_and_can_add_a_metric(copy: Path) -> None:
    before = {name: pd.read_parquet(copy / name) for name in ("records.parquet", "sets.parquet")}
    runner.rescore(copy, METRICS)
    for name, table in before.items():
        pd.testing.assert_frame_equal(table, pd.read_parquet(copy / name))
    runner.rescore(copy, ("l1",))
    records = pd.read_parquet(copy / "records.parquet")
    known = records["change"].notna()
    np.testing.assert_allclose(records.loc[known, "L1"], records.loc[known, "change"], atol=1e-6)
    assert records["L1"].notna().all()


def test_damaged_videos_are_detected(copy: Path) -> None:
    video = pd.read_parquet(copy / "records.parquet")["video"].iloc[0]
    other = pd.read_parquet(copy / "records.parquet")["video"].iloc[1]
    file = copy / "videos" / f"{video}.mkv"
    for damage in (lambda: shutil.copy(file.with_stem(other), file), lambda: file.write_text("no video"), file.unlink):
        damage()
        with pytest.raises(UsageError, match=f"{video}.mkv is missing or damaged"):
            runner.rescore(copy, METRICS)


def test_a_named_metric_must_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown metric 'toy_flop'; did you mean 'toy_flip'"):
        runner.run(ask(), tmp_path / "never", ("toy_flop",))
    assert not (tmp_path / "never").exists()


def test_a_changed_dataset_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Lights._render

    def brighter(self: Lights, index: int, label: int) -> torch.Tensor:
        return original(self, index, label) + 1 / 255

    run(tmp_path / "run", "toy_fragile", limit=2)
    monkeypatch.setattr(Lights, "_render", brighter)
    for again in (
        lambda: runner.rescore(tmp_path / "run", METRICS),
        lambda: run(tmp_path / "run", "toy_fragile", limit=2),
    ):
        with pytest.raises(UsageError, match="has changed since the run was planned"):
            again()


def test_pair_metrics_get_requested_and_predicted_values(tmp_path: Path) -> None:
    out = runner.run(ask("toy_push", dataset="toy_dimmer", limit=6), tmp_path / "run", ("toy_bias",))
    records = pd.read_parquet(out / "records.parquet")
    sets = pd.read_parquet(out / "sets.parquet").set_index("method")
    for method in ("toy_push", "no_edit"):
        rows = records[records["method"] == method]
        requested = rows["goal"].str.extract(r"value=(.*)±", expand=False).astype(float)
        assert sets.loc[method, "value"] == pytest.approx((rows["after"].str[0] - requested).mean())
        assert sets.loc[method, "low"] < sets.loc[method, "value"] < sets.loc[method, "high"]
        assert sets.loc[method, "n"] == 6
    board = pd.read_csv(out / "leaderboard.csv").set_index("method")
    assert board.loc["toy_push", "toy_bias"] == pytest.approx(sets.loc["toy_push", "value"])
    assert board.loc["toy_push", "toy_bias_n"] == 6


def test_pair_metrics_have_no_value_for_classes_but_a_reason(copy: Path) -> None:
    runner.rescore(copy, ("toy_bias",))
    (card,) = [card for card in RunDirectory(copy).json("metrics.json") if card["name"] == "toy_bias"]
    assert (card["level"], card["unavailable"]) == ("pair", "no values here")
    assert pd.read_csv(copy / "leaderboard.csv")["toy_bias"].isna().all()


def test_predicted_values_are_stored_unchanged(tmp_path: Path) -> None:
    runner.run(ask("toy_half", dataset="toy_dimmer", limit=3, generator="toy_blocks"), tmp_path / "run", ("toy_bias",))
    records = pd.read_parquet(tmp_path / "run" / "records.parquet")
    assert records["prediction"].tolist() == [before[0] for before in records["before"]]


def test_metrics_get_the_artefacts_of_the_method(tmp_path: Path) -> None:
    runner.run(ask("toy_half", limit=2), tmp_path / "run", ("toy_masked",))
    masked = pd.read_parquet(tmp_path / "run" / "records.parquet").groupby("method")["masked"]
    assert masked.mean()["toy_half"] == 1
    assert masked.count()["no_edit"] == 0


def test_a_new_record_voids_the_values_of_the_former_set(copy: Path) -> None:
    """Else an interrupted run could show old distances next to new records."""
    store = RunDirectory(copy)
    before = store.set_rows()
    record = next(record for record in store.records().values() if record.method == "toy_push")
    store.append(replace(record, seconds=9.0))
    after = RunDirectory(copy).set_rows()
    assert any(method == "toy_push" for method, _ in before)
    assert after == {key: row for key, row in before.items() if key[0] != "toy_push"}
