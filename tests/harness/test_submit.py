"""Submissions: a real small run is taken, and what is tampered with or incomplete is refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.harness import gate_worlds
from tests.harness.test_cli import call
from vcfe_bench.core.errors import UsageError
from vcfe_bench.report.board import page as public
from vcfe_bench.results.gate import files
from vcfe_bench.results.gate.baseline import Result
from vcfe_bench.results.submissions import comparisons, folder, rules
from vcfe_bench.runs.configuration import PROTOCOL, REFERENCES, Configuration, MethodIdentity
from vcfe_bench.runs.setup import Request
from vcfe_bench.runs.tuned import Tuned
from vcfe_bench.stats.significance import paired_difference
from vcfe_bench.workflows import run as runner

BUDGETS = (8, 2)
METHODS = ("pgd", "bttf", "random_draws", "nearest_draw")
real = pytest.mark.slow
OPTIONS = ("--by", "A. Author", "--paper", "https://example.org/paper", "--code", "https://example.org/code")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """PGD on the embedded world, with the required rows, at two budgets."""
    out = tmp_path_factory.mktemp("runs")
    metrics = ("fr", "semantic_fr", "ssim")
    return [
        runner.run(Request(METHODS, "shape_moving", limit=2, budget=budget), out / str(budget), metrics)
        for budget in BUDGETS
    ]


def _small(patch: pytest.MonkeyPatch) -> None:
    """Two videos are enough, and code that is not committed is taken."""
    patch.setattr(rules, "VIDEOS", 2)
    patch.setattr(rules, "UNCOMMITTED", "-nothing ends so")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    _small(monkeypatch)


@pytest.fixture(scope="module")
def first(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the command writes for the runs."""
    out = tmp_path_factory.mktemp("leaderboards")
    with pytest.MonkeyPatch.context() as patch:
        _small(patch)
        assert call(patch, "submit", *map(str, runs), *OPTIONS, "--leaderboards", str(out)) == 0
    return out / "submissions" / "shape_moving-m_swin-pgd"


@pytest.fixture
def written(small: None, first: Path, tmp_path: Path) -> Path:
    return shutil.copytree(first, tmp_path / "submissions" / first.name)


@real
def test_runs_become_a_folder_that_is_complete(written: Path, runs: list[Path]) -> None:
    assert sorted(path.name for path in written.iterdir()) == [
        *("2-seed0.csv", "2-seed0.json", "2-seed0.parquet", "8-seed0.csv", "8-seed0.json", "8-seed0.parquet"),
        *("comparisons.csv", "curves.csv", "curves.svg", "strip.png", "submission.json"),
    ]
    about = folder.check(written)
    assert (about.method, about.package, about.tables) == ("pgd", "vcfe-bench", ("8-seed0", "2-seed0"))
    assert about.parameters["epsilon"] == "20.0"
    assert about.machine["cores"] > 0
    assert about.commands[0].command.startswith("vcfe-bench run --methods pgd,bttf,")
    assert about.commands[0].seconds > 0
    curves = pd.read_csv(written / "curves.csv")
    assert set(curves["method"]) >= {"pgd"}
    assert files.read(written / "8-seed0.csv").about.configuration.budget == 8


@real
def test_the_same_runs_can_be_submitted_again(written: Path, runs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "submit", *map(str, runs), *OPTIONS, "--leaderboards", str(written.parents[1])) == 0


@real
def test_a_submitted_row_stands_on_its_page(written: Path, tmp_path: Path) -> None:
    pages = dict(public.pages(tmp_path, Path(__file__).parents[2] / "docs"))
    text = str(pages["leaderboard/shape_moving_m_swin.md"])
    assert "https://example.org/paper" in text
    assert "pgd: 8 calls per video, 2 videos, seed 0" in str(pages["leaderboard.md"]).replace("&#58;", ":")
    assert "Not by the protocol" not in text
    assert pages["leaderboard/submissions/shape_moving-m_swin-pgd/strip.png"] == (written / "strip.png").read_bytes()


def line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert call(monkeypatch, "submit", *words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@real
def test_a_run_of_too_few_videos_is_refused(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*map(str, runs), *OPTIONS, "--leaderboards", str(tmp_path)]
    assert "is about 2 videos, not 64" in line(monkeypatch, capsys, *words)
    assert list(tmp_path.iterdir()) == []


@real
@pytest.mark.usefixtures("small")
def test_one_budget_and_missing_words_are_refused(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = ["--leaderboards", str(tmp_path)]
    assert "one a quarter of the other" in line(monkeypatch, capsys, str(runs[0]), *OPTIONS, *rest)
    assert "--paper is missing" in line(monkeypatch, capsys, *map(str, runs), "--by", "A", *rest)
    wrong = [*OPTIONS[:-1], "example"]
    assert "code: String should match pattern" in line(monkeypatch, capsys, *map(str, runs), *wrong, *rest)
    other = [*OPTIONS, "--method", "ldvice"]
    assert "have no row ldvice" in line(monkeypatch, capsys, *map(str, runs), *other, *rest)


@real
@pytest.mark.usefixtures("small")
def test_a_damaged_or_unfinished_run_is_refused(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(runs[0], copy)
    video = next((copy / "videos").glob("*.mkv"))
    video.write_bytes(video.read_bytes()[:-9] + bytes(9))
    words = [str(copy), str(runs[1]), *OPTIONS, "--leaderboards", str(tmp_path / "out")]
    assert f"{video.name} is missing or damaged" in line(monkeypatch, capsys, *words)


def _drop(name: str) -> Callable[[Path], None]:
    return lambda path: (path / name).unlink()


def _change(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        text = (path / name).read_text()
        assert old in text
        (path / name).write_text(text.replace(old, new))

    return change


def _without(field: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        content = json.loads((path / "submission.json").read_text())
        del content[field]
        (path / "submission.json").write_text(json.dumps(content))

    return change


def _swap(path: Path) -> None:
    """A table of other rows, written as the real ones are."""
    made = gate_worlds.draw(np.random.default_rng(0), 8)
    for suffix in (".csv", ".json", ".parquet"):
        (path / f"2-seed0{suffix}").unlink()
    files.write(made, path / "2-seed0.csv")


@real
@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (_drop("8-seed0.parquet"), "8-seed0.parquet is missing"),
        (_drop("curves.svg"), "curves.svg is missing"),
        (_drop("submission.json"), "cannot read"),
        (_change("8-seed0.csv", "pgd,2", "pgd,3"), "were edited"),
        (_change("comparisons.csv", "random_draws", "other_draws"), "comparisons.csv is not what the tables show"),
        (_change("curves.csv", "pgd", "dgp"), "curves.csv has no row pgd"),
        (_change("submission.json", '"8-seed0"', '"9-seed0"'), "9-seed0.json is missing"),
        (_change("submission.json", '"8-seed0"', '"../8"'), "tables.0: String should match pattern"),
        (_without("by"), "by: Field required"),
        (_swap, "2-seed0 has no budget that all methods share"),
    ],
)
def test_what_was_tampered_with_is_refused_in_one_line(
    written: Path,
    tamper: Callable[[Path], None],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tamper(written)
    assert message in line(monkeypatch, capsys, "--check", str(written))


@real
def test_a_checked_folder_says_so(
    written: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "submit", "--check", str(written)) == 0
    assert "pgd, 2 tables" in capsys.readouterr().out


@real
def test_means_that_are_not_of_the_values_are_found_behind_a_valid_seal(written: Path) -> None:
    result = files.read(written / "8-seed0.csv")
    assert list(rules.edited(result)) == []
    frame = result.frame.assign(FR=result.frame["FR"].where(result.frame["method"] != "pgd", 0.5))
    files.write(replace(result, frame=frame), written / "8-seed0.csv")
    with pytest.raises(UsageError, match="FR is not the mean of its values"):
        folder.check(written)


def made(budget: float = 400, seed: int = 0, **other: object) -> Result:
    """A result by the protocol, of a method ``mine``."""
    result = gate_worlds.draw(np.random.default_rng(seed), 4)
    names = ("mine", *rules.ROWS, *REFERENCES)
    records = pd.concat([result.records.assign(method=name) for name in names])  # type: ignore[union-attr]
    row = result.frame.iloc[0]
    frame = pd.DataFrame([{**row, "method": name, "calls": 3.0} for name in names])
    identity = {name: MethodIdentity("x", "", 1) for name in names}
    given = {"methods": identity, "limit": 64, "budget": budget, "seed": seed, "choice": "stratified"}
    configuration: Configuration = replace(result.about.configuration, **{**given, "protocol": PROTOCOL, **other})
    about = replace(result.about, configuration=configuration, methods=names, metrics=(), revision="0" * 40)
    return replace(result, frame=frame, about=about, records=records.reset_index(drop=True))


def named(*results: Result) -> dict[str, Result]:
    return {f"{r.about.configuration.budget:g}-{r.about.configuration.seed}": r for r in results}


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([made(400), made(100)], ""),
        ([made(161), made(40)], ""),
        ([made(b, s) for b in (400, 100) for s in (0, 1, 2)], ""),
        ([made(400), made(200)], "one a quarter of the other"),
        ([made(400, 1), made(100, 1)], "so that none is chosen"),
        ([made(400, 0), made(400, 1), made(100, 0)], "so that none is chosen"),
        ([made(400), made(100, protocol=1)], "is of protocol 1"),
        ([made(400), made(100, split="validation")], "not the test split"),
        ([made(400), made(100, goals="all")], "ask different questions: goals"),
        ([made(400), made(100, limit=65)], "ask different questions: 64 videos, not 65"),
    ],
)
def test_budgets_seeds_and_questions(results: list[Result], message: str) -> None:
    found = [problem for problem in rules.problems(named(*results), "mine")]
    assert (message in "; ".join(found)) if message else found == []


def test_budgets_are_those_of_the_committed_tables() -> None:
    mine = named(made(400), made(100))
    assert list(rules.against(mine, [])) == []
    assert list(rules.against(mine, [made(400), made(100)])) == []
    assert "committed tables have 40 and 160" in next(rules.against(mine, [made(160), made(40)]))
    assert "another question" in next(rules.against(mine, [made(400, goals="all"), made(100)]))


def preset(parameters: dict[str, object], trials: int) -> Tuned:
    return Tuned(None, None, parameters, (None,) * trials)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "found", "message"),
    [
        ("mine", None, None),
        ("mine[other=3]", None, None),
        ("mine[rate=0.5]", None, "no finished search"),
        ("mine[rate=0.5]", preset({"rate": 0.5}, 3), "no finished search"),
        ("mine[rate=0.5]", preset({"rate": 0.4}, 24), "rate of mine"),
        ("mine[other=3,rate=0.5]", preset({"rate": 0.5, "steps": 10}, 24), None),
    ],
)
def test_tuned_parameters_come_with_their_search(spec: str, found: Tuned | None, message: str | None) -> None:
    problem = rules.untuned(spec, ("rate", "steps"), found)
    assert problem is None if message is None else message in str(problem)


def test_comparisons_are_paired_tests_over_all_seeds() -> None:
    parts = [gate_worlds.draw(np.random.default_rng(seed), 12, methods=2) for seed in range(2)]
    table = comparisons.table(parts, "m0")
    line = table[table["metric"] == "SSIM"].iloc[0]
    values = pd.concat([part.records for part in parts]).groupby(["method", "sample"])["SSIM"].mean()  # type: ignore[misc]
    expected = paired_difference(values["m0"].to_numpy(), values["m1"].to_numpy())
    assert line["difference"] == pytest.approx(expected.value)
    assert line["p"] == pytest.approx(expected.p)
    assert line["videos"] == 12
    assert (table["p_holm"] >= table["p"]).all()
