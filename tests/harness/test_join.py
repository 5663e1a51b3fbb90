"""Several runs in one table."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.harness.toys import ask, rewrite, run
from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins.registry import DATASETS, METRICS
from vcfe_bench.results import leaderboard
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.stats.set_distances import real_against_real
from vcfe_bench.video.lossless import content_hash, quantise
from vcfe_bench.workflows import run as runner


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


def test_methods_of_two_machines_have_the_same_numbers_in_one_table_as_in_their_own(runs: dict[str, Path]) -> None:
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
    stores = [RunDirectory(runs[name]) for name in ("push", "seed")]
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


def test_seeds_can_have_separate_rows(runs: dict[str, Path]) -> None:
    board = leaderboard.join([runs["push"], runs["seed"]], by=["seed"])
    push = board.frame[board.frame["method"] == "toy_push"]
    assert push["seed"].tolist() == ["0", "1"]
    assert push["n"].tolist() == [6, 6]


def test_runs_over_different_numbers_of_videos_have_separate_rows_and_a_note(runs: dict[str, Path]) -> None:
    board = leaderboard.join([runs["push"], runs["more"]])
    push = board.frame[board.frame["method"] == "toy_push"]
    assert push["videos"].tolist() == push["n"].tolist() == [6, 9]
    assert any(note.startswith("Runs over 6 and 9 videos have separate rows") for note in board.notes)


def test_pair_metrics_are_pooled(tmp_path: Path) -> None:
    outs = [
        runner.run(ask(dataset="toy_dimmer", limit=6, seed=seed), tmp_path / str(seed), ("toy_bias",))
        for seed in (0, 1)
    ]
    records = pd.concat([pd.read_parquet(out / "records.parquet") for out in outs])
    push = records[records["method"] == "toy_push"]
    requested = push["goal"].str.extract(r"value=(.*)±", expand=False).astype(float)
    row = leaderboard.join(outs).frame.set_index("method").loc["toy_push"]
    assert row["toy_bias"] == pytest.approx((push["after"].str[0] - requested).mean())
    assert row["toy_bias_n"] == 12


@pytest.mark.parametrize(
    ("name", "field", "value", "message"),
    [
        ("change", "version", 2, r"change has version 1 in .*push and 2 in .*copy: rescore them"),
        ("spread(mean)", "network", "other", r"has feature network mean/colour in .*push and other in .*copy"),
    ],
)
def test_metrics_of_different_versions_or_networks_are_not_mixed(
    runs: dict[str, Path], copy: Path, name: str, field: str, value: object, message: str
) -> None:
    def change(cards: list[dict]) -> None:
        next(card for card in cards if card["name"] == name)[field] = value

    rewrite(copy / "metrics.json", change)
    with pytest.raises(UsageError, match=message):
        leaderboard.join([runs["push"], copy])


def test_a_metric_that_is_not_available_in_one_run_is_noted(runs: dict[str, Path], copy: Path) -> None:
    def change(cards: list[dict]) -> None:
        next(card for card in cards if card["name"] == "change").update(unavailable="too dark", version=2)

    rewrite(copy / "metrics.json", change)
    for paths in ([runs["push"], copy], [copy, runs["push"]]):
        board = leaderboard.join(paths)
        assert f"change is not available for {copy}: too dark" in board.notes
        assert next(card for card in board.metrics if card.name == "change").unavailable is None


def test_other_code_is_not_pooled(runs: dict[str, Path], tmp_path: Path) -> None:
    other = Path(shutil.copytree(runs["push"], tmp_path / "other"))
    rewrite(other / "run.json", lambda content: content["configuration"]["methods"]["toy_push"].update(source="new"))
    board = leaderboard.join([runs["push"], other])
    push = board.frame[board.frame["method"] == "toy_push"]
    assert push["n"].tolist() == [6, 6]
    assert push["code"].nunique() == 2
    assert any(
        note.startswith("toy_push has separate rows: its code or weights differ between the runs")
        for note in board.notes
    )


def test_a_failure_is_replaced_by_the_result_of_another_run(tmp_path: Path) -> None:
    cure = tmp_path / "cure"
    method = f"toy_fragile[cure={cure}]"
    run(tmp_path / "ill", method, limit=3)
    cure.touch()
    run(tmp_path / "well", method, limit=3)
    row = leaderboard.join([tmp_path / "ill", tmp_path / "well"]).frame.iloc[0]
    assert (row["n"], row["failed"]) == (3, 0)
    assert row["spread(mean)"] == 0


def test_different_results_of_the_same_task_are_noted(runs: dict[str, Path], copy: Path) -> None:
    def change(records: pd.DataFrame) -> None:
        records.loc[records["method"] == "no_edit", "video_sha256"] = "another"

    rewrite(copy / "records.parquet", change)
    board = leaderboard.join([runs["half"], copy])
    assert any(note.startswith("no_edit: 6 results differ between runs although their tasks") for note in board.notes)


def test_rows_are_sorted_better_end_first_and_missing_values_last(runs: dict[str, Path]) -> None:
    paths = [runs["push"], runs["half"]]
    best_first = leaderboard.join(paths, sort="toy_FR").frame
    assert best_first["toy_FR"].dropna().is_monotonic_decreasing
    least_change_first = leaderboard.join(paths, sort="change").frame
    assert least_change_first["change"].dropna().is_monotonic_increasing
    assert least_change_first["method"].iloc[-1] == "toy_picky"
    assert leaderboard.join(paths, sort="method").frame["method"].is_monotonic_increasing


def test_divisions_stay_together_when_sorted(runs: dict[str, Path]) -> None:
    frame = leaderboard.join([runs["push"], runs["more"]], by=["videos"], sort="change").frame
    assert frame["videos"].is_monotonic_increasing
    assert frame.groupby("videos")["change"].apply(lambda part: part.dropna().is_monotonic_increasing).all()


def test_methods_are_compared_but_references_are_not(runs: dict[str, Path]) -> None:
    frame = leaderboard.join([runs["push"], runs["half"]]).frame.set_index("method")
    assert frame.loc["toy_half", ["change_group", "change_best"]].tolist() == ["?", False], (
        "five shared videos are too few"
    )
    assert frame.loc["true_edit", "toy_FR_group"] == ""
    assert not frame["toy_FR_best"].loc[["true_edit", "reconstruction", "no_edit"]].any()


def _meet(method: str, samples: set[str], records: pd.DataFrame) -> None:
    mine = records["method"] == method
    records.loc[mine, "met"] = records.loc[mine, "sample"].isin(samples)


@pytest.fixture
def flips(runs: dict[str, Path], tmp_path: Path) -> list[Path]:
    """The runs ``push`` and ``half``, as if they had met their goals on four and on three of the six videos."""
    met = {"push": {"light-0", "light-1", "light-2", "light-3"}, "half": {"light-2", "light-3", "light-4"}}
    for name, samples in met.items():
        path = Path(shutil.copytree(runs[name], tmp_path / name))
        rewrite(path / "records.parquet", partial(_meet, f"toy_{name}", samples))
    return [tmp_path / name for name in met]


def records_of(path: Path, method: str, samples: set[str]) -> pd.DataFrame:
    records = pd.read_parquet(path / "records.parquet")
    return records[(records["method"] == method) & records["sample"].isin(samples)]


def test_averages_over_what_each_method_flipped(flips: list[Path]) -> None:
    board = leaderboard.join(flips, among="flipped")
    frame = board.frame.set_index("method")
    push = records_of(flips[0], "toy_push", {"light-0", "light-1", "light-2", "light-3"})
    half = records_of(flips[1], "toy_half", {"light-2", "light-3", "light-4"})
    assert frame.loc["toy_push", ["n", "change"]].tolist() == pytest.approx([4, push["change"].mean()])
    assert frame.loc["toy_half", ["n", "change"]].tolist() == pytest.approx([3, half["change"].mean()])
    assert frame.loc["toy_push", "change_n"] == 3, "one of the four could not be measured"
    assert frame.loc["no_edit", "n"] == 0
    assert frame.loc["toy_picky", "n"] == 0
    assert frame.loc["toy_picky", "declined"] > 0, "declined tasks are still counted"
    assert (frame["among"] == "flipped").all()
    assert any(note.startswith("Only counterfactuals that meet their goal") for note in board.notes)


def test_averages_over_what_all_methods_flipped(flips: list[Path]) -> None:
    board = leaderboard.join(flips, among="flipped_by_all")
    frame = board.frame.set_index("method")
    methods = ["toy_push", "toy_half", "true_edit", "reconstruction", "no_edit"]
    assert frame.loc[methods, "n"].tolist() == [2] * 5, "a method without results does not empty the table"
    for method, path in (("toy_push", flips[0]), ("toy_half", flips[1]), ("no_edit", flips[0])):
        expected = records_of(path, method, {"light-2", "light-3"})["change"].mean()
        assert frame.loc[method, "change"] == pytest.approx(expected)
    assert any(
        note.endswith("only the 2 questions whose goal was met by all of toy_push, toy_half.") for note in board.notes
    )


def test_a_question_is_flipped_if_it_is_with_every_seed(flips: list[Path], runs: dict[str, Path]) -> None:
    answers: dict[tuple[str, str], list[bool]] = {}
    for path in (flips[0], runs["seed"]):
        for _, record in pd.read_parquet(path / "records.parquet").query("method == 'toy_push'").iterrows():
            answers.setdefault((record["sample"], record["goal"]), []).append(record["met"])
    assert any(len(set(met)) == 2 for met in answers.values()), "otherwise the test shows nothing"
    frame = leaderboard.join([flips[0], runs["seed"]], among="flipped_by_all").frame.set_index("method")
    expected = sum(len(met) for met in answers.values() if all(met))
    assert frame.loc[["toy_push", "no_edit"], "n"].tolist() == [expected] * 2


def test_distances_over_a_part_are_of_that_part_and_have_its_floor(flips: list[Path]) -> None:
    frame = leaderboard.join(flips, among="flipped_by_all").frame.set_index("method")
    row = frame.loc["toy_push"]
    store = RunDirectory(flips[0])
    records = records_of(flips[0], "toy_push", {"light-2", "light-3"})
    sides = [
        np.mean([store.video(name).double().mean(dim=(0, 2, 3)).numpy() / 255 for name in records[column]], axis=0)
        for column in ("original", "video")
    ]
    assert row["spread(mean)"] == pytest.approx(np.abs(sides[0] - sides[1]).sum(), abs=1e-5)
    dataset, others = DATASETS.build("toy_lights"), store.planned().others
    indices = [*records["index"], *others[: len(records)]]
    videos = [dataset.sample("test", index).video for index in indices]
    real = [video.mean(dim=(2, 3)).numpy() for video in videos]
    names = [content_hash(quantise(video)) for video in videos]
    floor = real_against_real(real, names, METRICS.build("toy_spread").distance, seeds.derive("spread(mean)")).mean()
    assert row["spread(mean)_floor"] == pytest.approx(floor, abs=1e-6)
    assert row["spread(mean)_floor_n"] == len(records) == 2
    assert row["spread(mean)_reconstruction"] == frame.loc["reconstruction", "spread(mean)"], "of the same two videos"


def test_rows_are_divided_by_whether_the_target_was_right(copy: Path) -> None:
    def change(records: pd.DataFrame) -> None:
        records.loc[records["sample"].isin(["light-0", "light-3"]), "prediction"] = 1

    rewrite(copy / "records.parquet", change)
    records = pd.read_parquet(copy / "records.parquet")
    frame = leaderboard.join([copy], by=["target_right"]).frame
    records = records.query("method == 'toy_half'")
    right = ~records["sample"].isin(["light-0", "light-3"])
    assert 0 < right.sum() < len(right)
    for word, mine in (("yes", records[right]), ("no", records[~right])):
        row = frame[(frame["method"] == "toy_half") & (frame["target_right"] == word)].iloc[0]
        assert row["n"] == len(mine)
        assert row["change"] == pytest.approx(mine["change"].mean())


def test_a_table_of_values_cannot_be_divided_by_target_right(tmp_path: Path) -> None:
    out = runner.run(ask(dataset="toy_dimmer", limit=3), tmp_path / "run", ("toy_bias",))
    with pytest.raises(UsageError, match="labels of toy_dimmer are values"):
        leaderboard.join([out], by=["target_right"])


def test_the_reconstruction_is_a_floor_at_the_same_number_of_videos(runs: dict[str, Path]) -> None:
    frame = leaderboard.join([runs["push"], runs["more"]]).frame
    recon = frame[frame["method"] == "reconstruction"].set_index("videos")["spread(mean)"]
    assert recon.nunique() == 2
    push = frame[frame["method"] == "toy_push"].set_index("videos")["spread(mean)_reconstruction"]
    assert push.to_dict() == recon.to_dict()
    picky = frame[frame["method"] == "toy_picky"].iloc[0]
    assert np.isnan(picky["spread(mean)_reconstruction"]), "it has no videos"


def test_the_order_of_runs_changes_no_number(runs: dict[str, Path]) -> None:
    one, other = (
        leaderboard.join(paths).frame for paths in ([runs["push"], runs["seed"]], [runs["seed"], runs["push"]])
    )
    measured = [name for name in one if name not in ("runs", "seconds", "peak_memory_mb")]
    pd.testing.assert_frame_equal(one[measured], other[measured], check_exact=True)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ({"among": "fliped"}, "restricted to 'fliped'; did you mean 'flipped'"),
        ({"by": ["datset"]}, "cannot be divided by 'datset'; did you mean 'dataset'"),
        ({"sort": "chang"}, "no column 'chang' to sort by; did you mean 'change'"),
    ],
)
def test_unknown_names(runs: dict[str, Path], rest: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        leaderboard.join([runs["push"]], **rest)
