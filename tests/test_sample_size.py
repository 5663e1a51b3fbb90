"""How many videos a claim needs: power against enumeration and simulation, and the numbers on the page."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.harness.gate_worlds import draw
from tests.harness.test_cli import call
from vcfe_bench.results.gate import files
from vcfe_bench.results.variation import variation
from vcfe_bench.stats.power import POWER, power_of_rates
from vcfe_bench.stats.sample_size import (
    level_of_comparisons,
    power_of_means,
    videos_for_means,
    videos_for_rates,
)
from vcfe_bench.stats.significance import paired_difference

TWO = level_of_comparisons(2)


@pytest.mark.parametrize(("better", "worse"), [(1.0, 0.2), (0.9, 0.1), (0.7, 0.4)])
def test_the_power_for_rates_is_that_of_the_test_of_the_tables(better: float, worse: float) -> None:
    """All outcomes of eight videos: how many only the better method flips, and how many only the other."""
    lost, gained = better * (1 - worse), (1 - better) * worse
    power = 0.0
    for more, less in itertools.product(range(9), repeat=2):
        if 0 < more + less <= 8 and more > less:
            differences = [1.0] * more + [-1.0] * less + [0.0] * (8 - more - less)
            if paired_difference(differences, [0.0] * 8).p <= 0.05:
                counts = [more, less, 8 - more - less]
                power += stats.multinomial.pmf(counts, 8, [lost, gained, 1 - lost - gained])
    assert power_of_rates(better, worse, 8, TWO) == pytest.approx(power, abs=1e-8)


def test_the_power_for_means_is_that_of_the_sign_flip_test() -> None:
    rng = np.random.default_rng(0)
    found = np.mean([paired_difference(rng.normal(0.5, 1, 20), np.zeros(20)).p <= 0.05 for _ in range(400)])
    assert power_of_means(0.5, 1.0, 20, TWO) == pytest.approx(found, abs=0.06)
    assert power_of_means(9.0, 1.0, 5, TWO) == 0, "five videos cannot show anything"


def test_the_number_of_videos_is_where_the_power_is_reached() -> None:
    number = videos_for_rates(0.9, 0.7, TWO)
    assert number is not None
    assert power_of_rates(0.9, 0.7, number - 1, TWO) < POWER <= power_of_rates(0.9, 0.7, number, TWO)
    assert videos_for_means(1e-6, 1.0, TWO) is None


def test_the_numbers_on_the_page() -> None:
    five = level_of_comparisons(5)
    assert [videos_for_rates(0.9, worse, TWO) for worse in (0.6, 0.7, 0.85)] == [37, 71, 722]
    assert videos_for_rates(1.0, 0.95, TWO) == 157
    assert videos_for_rates(0.9, 0.7, five) == 114
    assert [videos_for_means(0.5, 1.0, level) for level in (TWO, five)] == [34, 58]
    assert videos_for_means(1.0, 1.0, TWO) == 10


def test_the_calculator(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert call(monkeypatch, "plan", "--detect", "0.05", "--limit", "32") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["rate", "0.90", "0.85", "0.03", "722"] in rows
    assert (
        call(monkeypatch, "plan", "--detect", "0.05", "--sd", "0.1", "--methods", "pgd,bttf,ldvice,cg_frame,tubes") == 0
    )
    text = capsys.readouterr().out
    assert "10 comparisons" in text
    assert "58" in text.split()


def test_rates_and_deviations_of_a_table() -> None:
    """Two methods whose SSIM differs by effects of the video that they do not share, and by noise."""
    result = draw(np.random.default_rng(0), 64, 2)
    found = {(each.metric, each.method): each for each in variation(result)}
    assert result.records is not None
    for method, part in result.records.groupby("method"):
        assert found["FR", str(method)].rate == part["FR"].mean()
    wide = result.records.pivot(index="sample", columns="method", values="SSIM")
    assert found["SSIM", ""].deviation == pytest.approx(float(np.std(wide["m0"] - wide["m1"], ddof=1)))
    assert [key for key in found if key[0] == "FVD(i3d)"] == []
    one = variation(draw(np.random.default_rng(0), 64, 1))
    alone = next(each for each in one if each.metric == "SSIM").deviation
    assert alone == pytest.approx(np.sqrt(2) * wide["m0"].std(), rel=0.3)


def test_the_calculator_takes_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    result = draw(np.random.default_rng(0), 40, 2, {"FR": 1.0})
    files.write(result, tmp_path / "table.csv")
    assert call(monkeypatch, "plan", "--detect", "0.05", "--table", str(tmp_path / "table.csv")) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["FR", "1", "(m0)", "0.95", "0.00", "157"] in rows
    deviation = next(each.deviation for each in variation(result) if each.metric == "SSIM")
    assert ["SSIM", "any,", "sd", f"{deviation:.3g}"] in [row[:4] for row in rows]
    assert str(videos_for_means(0.05, deviation, TWO)) in next(row for row in rows if row[:1] == ["SSIM"])
    assert call(monkeypatch, "plan", "--detect", "0.05", "--table", str(tmp_path / "table.csv"), "--sd", "1") == 2
    assert "give one of them" in capsys.readouterr().err
    assert call(monkeypatch, "plan", "--detect", "0.05", "--table", "leaderboards/shape_scenes.csv") == 2
    assert "no values of single videos" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--detect", "0"], "--detect has to be a positive difference, of rates at most 1, not 0"),
        (["--detect", "1.5"], "--detect has to be a positive difference, of rates at most 1, not 1.5"),
        (["--detect", "0.1", "--sd", "0"], "--sd has to be positive, not 0"),
        (["--sd", "0.1"], "--sd belongs to --detect"),
        (["--table", "x.csv"], "--table belongs to --detect"),
        (["--detect", "0.1", "--table", "no.csv"], "no.json is missing"),
        (["--methods", "pgd"], "--methods and --dataset are needed, or --detect"),
    ],
)
def test_misuse_of_the_calculator(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert call(monkeypatch, "plan", *arguments) == 2
    assert capsys.readouterr().err.startswith(f"vcfe-bench: {message}")
