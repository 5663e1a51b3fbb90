"""A run compared with a baseline."""

from __future__ import annotations

import dataclasses
import shutil
import xml.etree.ElementTree as ET
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from vcfe_toys.methods import Half

from tests.harness.test_cli import call
from tests.harness.toys import rewrite, run
from vcfe_bench.core.errors import UsageError
from vcfe_bench.interfaces import Context, Explanation, Query
from vcfe_bench.results.gate import baseline, deciding, files, gate, report
from vcfe_bench.results.gate.baseline import Result
from vcfe_bench.results.gate.gate import Finding
from vcfe_bench.results.gate.pairs import Pair
from vcfe_bench.results.gate.sensitivity import Sensitivity
from vcfe_bench.runs.configuration import NetworkIdentity
from vcfe_bench.runs.records import ScoredCard
from vcfe_bench.stats.exchange import OneSided

METHODS = ("toy_push", "toy_half", "toy_picky")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gate") / "before"
    run(out, *METHODS)
    return out


@pytest.fixture(scope="module")
def result(before: Path) -> Result:
    return baseline.of_run(before)


@pytest.fixture(scope="module")
def darker_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run where ``toy_half`` returns darker videos, which changes each of them more."""
    original = Half.run

    def dim(self: Half, queries: list[Query], context: Context) -> list[Explanation]:
        return [dataclasses.replace(made, video=made.video * 0.9) for made in original(self, queries, context)]

    out = tmp_path_factory.mktemp("gate") / "darker"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Half, "run", dim)
        run(out, *METHODS)
    return out


@pytest.fixture(scope="module")
def darker(darker_run: Path) -> Result:
    return baseline.of_run(darker_run)


def named(findings: list[Finding], method: str, metric: str) -> Finding:
    (finding,) = [each for each in findings if (each.method, each.metric) == (method, metric)]
    return finding


def test_a_run_holds_what_it_says_itself(result: Result, tmp_path: Path) -> None:
    files.write(result, tmp_path / "tables" / "toys.csv")
    for against in (result, files.read(tmp_path / "tables" / "toys.csv")):
        findings = gate.check(result, against, {})
        assert {finding.verdict for finding in findings if finding.method != "toy_picky"} == {"same"}
        assert {finding.metric for finding in findings} == {"toy_FR", "change", "spread(mean)"}
        assert named(findings, "toy_picky", "change").text == "no video has a value in both"


def test_a_method_that_gets_worse_on_every_video_fails(result: Result, darker: Result) -> None:
    findings = gate.check(darker, result, {})
    change = named(findings, "toy_half", "change")
    assert change.verdict == "worse"
    assert change.pair is not None
    assert change.pair.test is not None
    assert change.pair.test.p == 0.5**7, "seven videos have a value, and all are worse"
    assert change.failing
    assert "worse by 0.0" in change.text
    assert "over 7 videos" in change.text
    assert named(findings, "toy_half", "spread(mean)").verdict == "worse"
    assert named(findings, "toy_push", "change").verdict == "same"
    assert named(gate.check(result, darker, {}), "toy_half", "change").verdict == "noise", "it got better"


def test_a_table_is_compared_like_the_run_it_is_of(result: Result, darker: Result, tmp_path: Path) -> None:
    files.write(result, tmp_path / "toys.csv")
    with_run, with_table = (gate.check(darker, against, {}) for against in (result, files.read(tmp_path / "toys.csv")))
    assert list(map(str, with_run)) == list(map(str, with_table))
    assert [finding.p for finding in with_run] == pytest.approx([finding.p for finding in with_table], nan_ok=True)


def test_what_may_be_noise_fails_only_if_strict(result: Result) -> None:
    one = with_records(result, "toy_half", "light-4", {"change": 0.9})
    change = named(gate.check(one, result, {}), "toy_half", "change")
    assert (change.verdict, change.failing) == ("cannot tell", False)
    assert "largest in light-4 (" in change.text
    assert change.text.count("light-") == 1, "the other videos did not change"
    assert named(gate.check(one, result, {}, strict=True), "toy_half", "change").failing
    within = gate.check(one, result, {"change": 0.5}, strict=True)
    assert named(within, "toy_half", "change").verdict == "noise"
    assert not any(finding.failing for finding in within)


def test_a_sure_loss_within_the_tolerance_holds(result: Result, darker: Result) -> None:
    findings = gate.check(darker, result, {"change": 0.5, "spread(mean)": 0.5})
    assert named(findings, "toy_half", "change").verdict == "noise"
    assert "within the tolerance of 0.5" in named(findings, "toy_half", "change").text
    assert not any(finding.failing for finding in findings)


def without(result: Result, method: str) -> Result:
    """The result of a run without the method."""
    kept = tuple(name for name in result.about.methods if name != method)
    about = dataclasses.replace(result.about, methods=kept)
    return dataclasses.replace(result, about=about, frame=result.frame.query("method != @method"))


def test_a_run_without_a_method_of_the_baseline_is_refused(result: Result) -> None:
    with pytest.raises(UsageError, match="the baseline has the method toy_half, the run has not"):
        gate.check(without(result, "toy_half"), result, {})
    (new,) = [each for each in gate.check(result, without(result, "toy_half"), {}) if each.method == "toy_half"]
    assert (new.verdict, str(new)) == ("note", "toy_half: is not in the baseline")
    assert not new.failing


def with_card(result: Result, metric: str, fields: dict[str, Any]) -> Result:
    cards = [dataclasses.replace(card, **fields) if card.name == metric else card for card in result.about.metrics]
    return dataclasses.replace(result, about=dataclasses.replace(result.about, metrics=tuple(cards)))


@pytest.mark.parametrize(
    ("name", "fields", "text"),
    [
        ("change", {"version": 2}, "change has version 2, in the baseline 1"),
        ("spread(mean)", {"network": "x"}, r"spread\(mean\) has feature network x, in the baseline mean/colour"),
        ("change", {"unavailable": "no"}, "change is in the baseline, but is not available now: no"),
        ("change", {"name": "changed"}, "change is in the baseline, but was not computed"),
    ],
)
def test_metrics_that_cannot_be_compared_are_refused_if_they_decide(
    result: Result, name: str, fields: dict, text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        gate.check(with_card(result, name, fields), result, {})
    deciding = tuple(each for each in result.about.deciding if each != name)
    informing = dataclasses.replace(result, about=dataclasses.replace(result.about, deciding=deciding))
    findings = gate.check(with_card(result, name, fields), informing, {})
    assert named(findings, "", name).verdict == "note"
    assert not any(finding.failing for finding in findings)


def test_metrics_that_do_not_decide_inform(result: Result) -> None:
    only = dataclasses.replace(result, about=dataclasses.replace(result.about, deciding=("toy_FR",)))
    findings = gate.check(dataclasses.replace(result, frame=result.frame.assign(change=0.9)), only, {})
    change = named(findings, "toy_half", "change")
    assert change.verdict == "informs"
    assert "beyond the baseline's interval" in change.text
    assert not any(finding.failing for finding in findings)
    with pytest.raises(UsageError, match="a tolerance for 'change' has no effect, it does not decide"):
        gate.check(result, only, {"change": 1.0})


def test_new_metrics_are_named(result: Result) -> None:
    findings = gate.check(with_card(result, "missing(net)", {"unavailable": None, "name": "fresh"}), result, {})
    assert str(named(findings, "", "fresh")) == "fresh: is not in the baseline"


def with_records(result: Result, method: str, sample: str, values: dict[str, Any]) -> Result:
    assert result.records is not None
    records = result.records.copy()
    records.loc[(records["method"] == method) & (records["sample"] == sample), list(values)] = list(values.values())
    return dataclasses.replace(result, records=records)


def test_a_video_without_a_result_counts_as_not_flipped_and_fails(result: Result) -> None:
    gone = with_records(
        result, "toy_push", "light-0", {"status": "failed", "reason": "no memory", "toy_FR": float("nan")}
    )
    findings = gate.check(gone, result, {})
    missing = named(findings, "toy_push", "missing")
    assert (missing.verdict, missing.failing) == ("lost", True)
    assert missing.text == ("1 videos have a counterfactual in the baseline and none in the run: no memory (1×)")
    flips = named(findings, "toy_push", "toy_FR").pair
    assert flips is not None
    assert (flips.videos, flips.before - flips.after) == (8, 1 / 8)
    allowed = named(gate.check(gone, result, {"missing": 1}), "toy_push", "missing")
    assert (allowed.verdict, allowed.failing) == ("noise", False)
    assert not any(each.metric == "missing" for each in gate.check(result, gone, {}))


def test_a_missing_value_fails_only_if_the_metric_did(result: Result) -> None:
    """``change`` has no value where it raised an exception, and none where it is not defined."""
    undefined = with_records(result, "toy_half", "light-0", {"change": float("nan")})
    assert not any(finding.failing for finding in gate.check(undefined, result, {}))
    assert undefined.records is not None
    row = undefined.records
    (place,) = row.index[(row["method"] == "toy_half") & (row["sample"] == "light-0")]
    broken = dataclasses.replace(undefined, errors={**undefined.errors, (place, "change"): "ValueError: no"})
    (finding,) = [each for each in gate.check(broken, result, {}) if each.failing]
    assert str(finding) == "toy_half change: failed on 1 videos that the baseline has values for: ValueError: no"
    assert finding.verdict == "lost"
    assert not any(each.failing for each in gate.check(broken, result, {"missing": 1}))


def test_differences_of_rounding_are_none(result: Result) -> None:
    assert result.records is not None
    records = result.records.assign(change=result.records["change"] * (1 + 1e-8))
    assert named(
        gate.check(dataclasses.replace(result, records=records), result, {}), "toy_half", "change"
    ).verdict == ("same")


def test_features_that_are_missing_are_named(result: Result, darker: Result) -> None:
    nothing = dataclasses.replace(result, features=lambda network: {})
    with pytest.raises(UsageError, match=r"features of spread\(mean\) are missing for toy_push: run 'vcfe-bench resc"):
        gate.check(darker, nothing, {})


def test_other_weights_are_named(result: Result) -> None:
    target = NetworkIdentity("toy_conv", "conv-2")
    configuration = dataclasses.replace(result.about.configuration, target=target)
    other = dataclasses.replace(result, about=dataclasses.replace(result.about, configuration=configuration))
    note = named(gate.check(other, result, {}), "", "")
    assert (note.verdict, str(note)) == ("note", "the weights of target toy_conv are not those of the baseline")
    assert not note.failing


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ({"limit": 2}, "has limit 8, the run 2"),
        ({"goals": "all"}, "has goals one, the run all"),
        ({"target": NetworkIdentity("other", "x")}, "has target toy_conv, the run other"),
        ({"budget": 9.0}, "has budget None, the run 9.0"),
    ],
)
def test_runs_about_different_questions_are_refused(result: Result, rest: dict, message: str) -> None:
    configuration = dataclasses.replace(result.about.configuration, **rest)
    about = dataclasses.replace(result.about, configuration=configuration)
    with pytest.raises(UsageError, match=message):
        gate.check(dataclasses.replace(result, about=about), result, {})


def test_values_for_other_videos_only_are_refused(result: Result) -> None:
    assert result.records is not None
    other = dataclasses.replace(result, records=result.records.assign(sample="other " + result.records["sample"]))
    with pytest.raises(UsageError, match=r"run and baseline have .* of toy_push for no video and goal in common"):
        gate.check(other, result, {})


def test_a_tolerance_for_an_unknown_metric_is_refused(result: Result) -> None:
    with pytest.raises(UsageError, match=r"a tolerance for 'chang' has no effect.*did you mean 'change'"):
        gate.check(result, result, {"chang": 0.1})


def test_pair_metrics_inform(result: Result) -> None:
    card = ScoredCard("bias", "bias", "pair", direction="lower")
    about = dataclasses.replace(result.about, metrics=(*result.about.metrics, card))
    old, new = (
        dataclasses.replace(result, about=about, frame=result.frame.assign(bias=bias, bias_low=0.0, bias_high=0.2))
        for bias in (0.1, 0.3)
    )
    assert named(gate.check(new, old, {}), "toy_push", "bias").verdict == "informs"
    assert deciding.default(about.metrics) == result.about.deciding


SSIM = ScoredCard("SSIM", "ssim", "sample", direction="higher")
PAIR = Pair("a", SSIM, 1.0, 0.5, 0.5, 8, 0.1, OneSided(0.004, 0.004, 0.1))
FINDINGS = [
    Finding("same", "a", "FR", "1 → 1", pair=dataclasses.replace(PAIR, loss=0.0, after=1.0)),
    Finding("worse", "a", "SSIM", "1 → 0.5, 50% & more\nsecond line", True, PAIR, 0.04),
    Finding("cannot tell", "b", "SSIM", "1 → 0.9", False, dataclasses.replace(PAIR, method="b|c")),
    Finding("lost", "c", "missing", "1 videos", True),
    Finding("note", "", "L1", "is not in the baseline"),
]
SEEN = [Sensitivity("FR", 8, float("nan"), 1200.0, False), Sensitivity("FVD(i3d)", 8, 12345.0, 99.0, True)]


def test_failing_findings_come_first() -> None:
    lines = list(report.lines(FINDINGS))
    assert [line.split()[0] for line in lines] == ["worse", "lost", "note", "FAILED:"]
    assert lines[-1] == "FAILED: 1 same, 1 worse, 1 cannot tell, 1 lost"
    assert list(report.lines(FINDINGS[:1])) == ["passed: 1 same"]


def test_the_values_that_hold_are_shown_as_tables() -> None:
    console = Console(width=100, file=(text := StringIO()))
    for table in report.tables(FINDINGS, SEEN):
        console.print(table)
    rows = [line.split() for line in text.getvalue().splitlines()]
    assert ["a", "SSIM", "1", "0.5", "0.5", "0.04", "worse"] in rows
    assert ["FR", "8", "none", "1200"] in rows
    assert ["FVD(i3d)", "8", "1.234e+04", "99", "(5", "%)"] in rows
    one = dataclasses.replace(FINDINGS[0], method="pgd[epsilon=3]")
    console.print(*report.tables([one], []))
    assert "pgd[epsilon=3]" in text.getvalue()
    text_of_summary = report.markdown(FINDINGS, SEEN)
    assert text_of_summary.startswith("### vcfe-bench check: FAILED: 1 same, 1 worse, 1 cannot tell, 1 lost\n")
    assert "| b | SSIM | 1 | 0.5 | 0.5 | - | cannot tell |" in text_of_summary


def test_junit_counts_and_names() -> None:
    suite = ET.fromstring(report.junit(FINDINGS))
    assert (suite.get("tests"), suite.get("failures")) == ("5", "2")
    failed = {(case.get("classname"), case.get("name")) for case in suite if case.find("failure") is not None}
    assert failed == {("a", "SSIM"), ("c", "missing")}
    assert suite.findall("testcase/failure")[0].get("message", "").startswith("1 → 0.5, 50% & more")


def test_annotations_keep_to_one_line() -> None:
    annotations = list(report.github(FINDINGS))
    assert Counter(line.split(" ")[0] for line in annotations) == {"::error": 2, "::warning": 1, "::notice": 1}
    assert annotations[0].endswith("::a SSIM: 1 → 0.5, 50%25 & more%0Asecond line")


def test_the_command(
    before: Path,
    darker_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    table, junit = tmp_path / "toys.csv", tmp_path / "out.xml"
    check = ["check", str(before), "--against", str(table)]
    assert call(monkeypatch, *check) == 2
    assert "--against" in (error := capsys.readouterr().err)
    assert error.count("\n") == 1
    assert call(monkeypatch, *check, "--update") == 0
    assert "wrote " in capsys.readouterr().out
    assert call(monkeypatch, *check) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1].startswith("passed: ")
    assert "toy_half" in out, "the values that it held are printed"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert call(monkeypatch, "check", str(darker_run), *check[2:], "--junit", str(junit), "--github") == 1
    out = capsys.readouterr().out
    assert "worse        toy_half change: 0.13" in out
    assert "::error title=vcfe-bench check (worse)::toy_half change: " in out
    assert ET.parse(junit).getroot().get("failures") == "2"
    assert "| toy_half | change |" in (tmp_path / "summary.md").read_text()
    tolerance = ["--tolerance", "change=0.2,spread(mean)=1"]
    assert call(monkeypatch, "check", str(darker_run), *check[2:], *tolerance, "--strict") == 0
    (tmp_path / "toys.json").unlink()
    capsys.readouterr()
    assert call(monkeypatch, *check) == 2
    assert "toys.json is missing: write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tolerance", "change"], "'change' in --tolerance is not of the form METRIC=NUMBER"),
        (["--tolerance", "change=-1"], "'change=-1' in --tolerance is not of the form METRIC=NUMBER"),
        (["--junit", "nowhere/out.xml"], "cannot write nowhere/out.xml: No such file"),
        (["--update"], "--update writes a .csv file, not "),
    ],
)
def test_misuse_gets_one_line(
    before: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "check", str(before), "--against", str(before), *arguments) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"vcfe-bench: {message}")
    assert errors.count("\n") == 1


def test_an_unfinished_run_is_refused(before: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(before, tmp_path / "copy"))
    records = pd.read_parquet(copy / "records.parquet")
    rewrite(copy / "records.parquet", lambda table: table.drop(index=range(3, len(table)), inplace=True))
    with pytest.raises(UsageError, match=f"{len(records) - 3} planned tasks have not run"):
        baseline.of_run(copy)


@pytest.fixture(scope="module")
def other_seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gate") / "seed"
    run(out, *METHODS, seed=1)
    return out


def test_runs_that_differ_in_their_seed_are_one_table(
    before: Path, other_seed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, single, other = (baseline.of_run(*paths) for paths in ((before, other_seed), (before,), (other_seed,)))
    assert both.about.seeds == (0, 1)
    assert both.frame["n"].tolist() == (single.frame["n"] + other.frame["n"]).tolist()
    assert list(both.frame) == list(single.frame)
    assert both.records is not None
    half = both.records[both.records["method"] == "toy_half"]
    assert both.value("toy_half", "change") == pytest.approx(half["change"].mean())
    files.write(both, tmp_path / "toys.csv")
    table = files.read(tmp_path / "toys.csv")
    assert {each.verdict for each in gate.check(both, table, {}) if each.method != "toy_picky"} == {"same"}
    with pytest.raises(UsageError, match="the baseline has seed 0, 1, the run 0"):
        gate.check(single, table, {})
    assert call(monkeypatch, "check", str(before), str(other_seed), "--against", str(tmp_path / "toys.csv")) == 0


def test_a_loss_with_one_of_two_seeds_counts_by_video(before: Path, other_seed: Path) -> None:
    both = baseline.of_run(before, other_seed)
    assert both.records is not None
    changed = (both.records["method"] == "toy_half") & (both.records["seed"] == 1)
    worse = both.records.assign(change=both.records["change"] + 0.1 * changed.astype(float))
    pair = named(gate.check(dataclasses.replace(both, records=worse), both, {}), "toy_half", "change").pair
    assert pair is not None
    assert pair.loss == pytest.approx(0.05)
    assert pair.test is not None
    assert pair.videos == 7
    assert pair.test.p == 0.5**7


def test_a_distance_between_sets_is_over_the_videos_of_all_seeds(before: Path, other_seed: Path) -> None:
    both = baseline.of_run(before, other_seed)
    assert both.records is not None
    records = both.records.assign(goal="the same with both seeds")
    pushed = records[records["method"] == "toy_push"].set_index(["seed", "sample"])["video_sha256"]
    later = (records["method"] == "toy_half") & (records["seed"] == 1)
    records.loc[later, "video_sha256"] = [pushed[1, sample] for sample in records.loc[later, "sample"]]
    mixed = dataclasses.replace(both, records=records)
    alone = dataclasses.replace(both, records=both.records[both.records["seed"] == 0])
    values = []
    for each in (alone, mixed):
        pair = named(gate.check(each, each, {}), "toy_half", "spread(mean)").pair
        assert pair is not None
        values.append(pair.before)
    assert values[0] != pytest.approx(values[1])


def test_runs_that_are_two_tables_are_refused(before: Path, tmp_path: Path) -> None:
    run(tmp_path / "fewer", *METHODS, limit=4, seed=1)
    with pytest.raises(UsageError, match="differ in more than their seed"):
        baseline.of_run(before, tmp_path / "fewer")
    with pytest.raises(UsageError, match="the same seed"):
        baseline.of_run(before, before)
