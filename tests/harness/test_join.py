"""Several runs in one table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.harness.toys import ask, run
from vcfe_bench import leaderboard, runner
from vcfe_bench.errors import UsageError
from vcfe_bench.store import Store


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """``push`` and ``half`` as made on two machines, ``seed`` as ``push`` with another seed, ``more``: 9 videos."""
    folder = tmp_path_factory.mktemp("runs")
    made: dict[str, tuple[tuple[str, ...], dict[str, int]]] = {
        "push": (("toy_push", "toy_picky"), {"limit": 6}),
        "half": (("toy_half",), {"limit": 6}),
        "seed": (("toy_push",), {"limit": 6, "seed": 1}),
        "more": (("toy_push",), {"limit": 9}),
    }
    for name, (methods, rest) in made.items():
        run(folder / name, *methods, **rest)
    return {name: folder / name for name in made}


@pytest.fixture
def copy(runs: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs["half"], tmp_path / "copy"))


def rewrite(file: Path, change: object) -> None:
    content = json.loads(file.read_text())
    change(content)  # type: ignore[operator]
    file.write_text(json.dumps(content))


def test_methods_of_two_machines_stand_in_one_table_as_in_their_own(runs: dict[str, Path]) -> None:
    frame = leaderboard.join([runs["push"], runs["half"]]).frame.set_index("method")
    assert frame.index.tolist() == ["toy_push", "toy_picky", "toy_half", "true_edit", "reconstruction", "no_edit"]
    for name in ("push", "half"):
        own = pd.read_csv(runs[name] / "leaderboard.csv").set_index("method")
        pd.testing.assert_frame_equal(
            frame.loc[own.index, list(own.columns.drop(["seconds", "peak_memory_mb", "reasons"]))],
            own.drop(columns=["seconds", "peak_memory_mb", "reasons"]),
            check_dtype=False,
        )
    assert frame.loc["no_edit", "n"] == 6, "the same task done twice counts once"


def test_seeds_are_pooled(runs: dict[str, Path]) -> None:
    board = leaderboard.join([runs["push"], runs["seed"]])
    row = board.frame.set_index("method").loc["toy_push"]
    records = pd.concat([pd.read_parquet(runs[name] / "records.parquet") for name in ("push", "seed")])
    push = records[records["method"] == "toy_push"]
    assert (row["n"], row["seed"]) == (12, "0, 1")
    assert row["toy_FR"] == pytest.approx(push["toy_FR"].mean())
    assert row["change"] == pytest.approx(push["change"].mean())
    stores = [Store(runs[name]) for name in ("push", "seed")]
    sides = [
        np.mean(
            [
                store.video(name).double().mean(dim=(0, 2, 3)).numpy() / 255
                for store in stores
                for name in pd.read_parquet(store.path / "records.parquet").query("method == 'toy_push'")[column]
            ],
            axis=0,
        )
        for column in ("original", "video")
    ]
    assert row["spread(mean)"] == pytest.approx(np.abs(sides[0] - sides[1]).sum(), abs=1e-5)
    assert row["spread(mean)_low"] < row["spread(mean)"] < row["spread(mean)_high"]
    assert row["spread(mean)_floor"] == pd.read_parquet(runs["push"] / "sets.parquet")["floor"].iloc[0]


def test_seeds_can_stand_apart(runs: dict[str, Path]) -> None:
    board = leaderboard.join([runs["push"], runs["seed"]], by=["seed"])
    push = board.frame[board.frame["method"] == "toy_push"]
    assert push["seed"].tolist() == ["0", "1"]
    assert push["n"].tolist() == [6, 6]


def test_runs_over_other_numbers_of_videos_stand_apart_and_say_so(runs: dict[str, Path]) -> None:
    board = leaderboard.join([runs["push"], runs["more"]])
    push = board.frame[board.frame["method"] == "toy_push"]
    assert push["videos"].tolist() == push["n"].tolist() == [6, 9]
    assert any(note.startswith("Runs over 6 and 9 videos stand in rows of their own") for note in board.notes)


def test_pair_metrics_are_pooled(tmp_path: Path) -> None:
    outs = [
        runner.run(ask(dataset="toy_dimmer", limit=6, seed=seed), tmp_path / str(seed), ("toy_bias",))
        for seed in (0, 1)
    ]
    records = pd.concat([pd.read_parquet(out / "records.parquet") for out in outs])
    push = records[records["method"] == "toy_push"]
    asked = push["goal"].str.extract(r"value=(.*)±", expand=False).astype(float)
    row = leaderboard.join(outs).frame.set_index("method").loc["toy_push"]
    assert row["toy_bias"] == pytest.approx((push["after"].str[0] - asked).mean())
    assert row["toy_bias_n"] == 12


@pytest.mark.parametrize(
    ("name", "field", "value", "message"),
    [
        ("change", "version", 2, r"change has version 1 in .*push and 2 in .*copy: score them anew"),
        ("spread(mean)", "network", "other", r"has feature network mean/colour in .*push and other in .*copy"),
    ],
)
def test_metrics_of_other_versions_or_networks_are_not_mixed(
    runs: dict[str, Path], copy: Path, name: str, field: str, value: object, message: str
) -> None:
    def change(cards: list[dict]) -> None:
        next(card for card in cards if card["name"] == name)[field] = value

    rewrite(copy / "metrics.json", change)
    with pytest.raises(UsageError, match=message):
        leaderboard.join([runs["push"], copy])


def test_a_metric_that_is_empty_in_one_run_says_where(runs: dict[str, Path], copy: Path) -> None:
    def change(cards: list[dict]) -> None:
        next(card for card in cards if card["name"] == "change").update(unavailable="too dark", version=2)

    rewrite(copy / "metrics.json", change)
    for paths in ([runs["push"], copy], [copy, runs["push"]]):
        board = leaderboard.join(paths)
        assert f"change is empty for {copy}: too dark" in board.notes
        assert next(card for card in board.metrics if card["name"] == "change")["unavailable"] is None


def test_other_code_is_not_pooled(runs: dict[str, Path], tmp_path: Path) -> None:
    other = Path(shutil.copytree(runs["push"], tmp_path / "other"))
    rewrite(other / "run.json", lambda content: content["configuration"]["methods"]["toy_push"].update(source="new"))
    board = leaderboard.join([runs["push"], other])
    push = board.frame[board.frame["method"] == "toy_push"]
    assert push["n"].tolist() == [6, 6]
    assert push["code"].nunique() == 2
    assert any(note.startswith("toy_push: code or weights differ between the runs") for note in board.notes)


def test_a_failure_is_replaced_by_the_result_of_another_run(tmp_path: Path) -> None:
    cure = tmp_path / "cure"
    method = f"toy_fragile[cure={cure}]"
    run(tmp_path / "ill", method, limit=3)
    cure.touch()
    run(tmp_path / "well", method, limit=3)
    row = leaderboard.join([tmp_path / "ill", tmp_path / "well"]).frame.iloc[0]
    assert (row["n"], row["failed"]) == (3, 0)
    assert row["spread(mean)"] == 0


def test_results_that_should_be_the_same_but_are_not_are_named(runs: dict[str, Path], copy: Path) -> None:
    records = pd.read_parquet(copy / "records.parquet")
    records.loc[records["method"] == "no_edit", "video_sha256"] = "another"
    records.to_parquet(copy / "records.parquet")
    board = leaderboard.join([runs["half"], copy])
    assert "no_edit: 6 results are not the same in all runs though made alike; the first run's count." in board.notes


def test_rows_are_sorted_better_end_first_and_empty_ones_last(runs: dict[str, Path]) -> None:
    paths = [runs["push"], runs["half"]]
    best_first = leaderboard.join(paths, sort="toy_FR").frame
    assert best_first["toy_FR"].dropna().is_monotonic_decreasing
    assert best_first["method"].iloc[-1] == "toy_picky"
    assert leaderboard.join(paths, sort="change").frame["change"].dropna().is_monotonic_increasing
    assert leaderboard.join(paths, sort="method").frame["method"].is_monotonic_increasing


def test_divisions_stay_together_when_sorted(runs: dict[str, Path]) -> None:
    frame = leaderboard.join([runs["push"], runs["more"]], by=["videos"], sort="change").frame
    assert frame["videos"].is_monotonic_increasing
    assert frame.groupby("videos")["change"].apply(lambda part: part.dropna().is_monotonic_increasing).all()


def test_methods_are_compared_but_references_are_not(runs: dict[str, Path]) -> None:
    frame = leaderboard.join([runs["push"], runs["half"]]).frame.set_index("method")
    assert frame.loc["toy_half", ["change_group", "change_best"]].tolist() == ["a", False], "five shared videos"
    assert frame.loc["true_edit", "toy_FR_group"] == ""
    assert not frame["toy_FR_best"].loc[["true_edit", "reconstruction", "no_edit"]].any()


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ({"by": ["datset"]}, "cannot be divided by 'datset'; did you mean 'dataset'"),
        ({"sort": "chang"}, "no column 'chang' to sort by; did you mean 'change'"),
    ],
)
def test_unknown_names(runs: dict[str, Path], rest: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        leaderboard.join([runs["push"]], **rest)
