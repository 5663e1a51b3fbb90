"""A run compared with a baseline."""

from __future__ import annotations

import dataclasses
import json
import shutil
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from vcfe_toys.methods import Half

from tests.harness.test_cli import call
from tests.harness.toys import ask, run
from vcfe_bench.core.errors import UsageError
from vcfe_bench.interfaces import Context, Explanation, Query
from vcfe_bench.results.gate import baseline, gate
from vcfe_bench.results.gate import report as gate_report
from vcfe_bench.results.gate.baseline import Result
from vcfe_bench.results.gate.gate import Finding
from vcfe_bench.runs.configuration import NetworkIdentity
from vcfe_bench.workflows import run as runner

METHODS = ("toy_push", "toy_half", "toy_picky")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gate") / "before"
    run(out, *METHODS)
    return out


@pytest.fixture
def result(before: Path) -> Result:
    return baseline.of_run(before)


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The same run where ``toy_half`` gives each video as bright as ``factor`` of its sample id says."""
    original = Half.run

    def build(factor: Callable[[str], float]) -> Result:
        def dim(self: Half, queries: list[Query], context: Context) -> list[Explanation]:
            explanations = original(self, queries, context)
            return [
                dataclasses.replace(made, video=made.video * factor(query.sample.id))
                for made, query in zip(explanations, queries, strict=True)
            ]

        monkeypatch.setattr(Half, "run", dim)
        run(tmp_path / "changed", *METHODS)
        return baseline.of_run(tmp_path / "changed")

    return build


def moved(result: Result, method: str, values: dict[str, Any]) -> Result:
    """The result as a committed table with other values for a method."""
    frame = result.frame.copy()
    for column, value in values.items():
        frame.loc[frame["method"] == method, column] = value
    return Result(frame, result.about)


def named(findings: list[Finding], method: str, metric: str) -> Finding:
    (finding,) = [each for each in findings if (each.method, each.metric) == (method, metric)]
    return finding


def verdicts(findings: list[Finding]) -> set[str]:
    return {finding.verdict for finding in findings}


def test_a_run_holds_what_it_says_itself(result: Result, tmp_path: Path) -> None:
    baseline.write(result, tmp_path / "tables" / "toys.csv")
    for against in (result, baseline.read(tmp_path / "tables" / "toys.csv")):
        findings = gate.check(result, against, {})
        assert verdicts(findings) == {"same"}
        assert {finding.metric for finding in findings} == {"toy_FR", "change", "spread(mean)", "failed", "skipped"}


def test_a_committed_table_says_what_it_is_of(result: Result, tmp_path: Path) -> None:
    baseline.write(result, tmp_path / "toys.csv")
    about = json.loads((tmp_path / "toys.json").read_text())
    assert about["methods"] == pd.read_csv(tmp_path / "toys.csv")["method"].tolist()
    assert {card["name"]: card.get("version") for card in about["metrics"]}["change"] == 1
    assert about["configuration"]["dataset"] == "toy_lights"
    assert about["configuration"]["target"] == {"spec": "toy_conv", "fingerprint": "conv-1"}
    assert about["vcfe_bench"]
    read = baseline.read(tmp_path / "toys.csv")
    reasons = ["reasons"]
    pd.testing.assert_frame_equal(read.frame.drop(columns=reasons), result.frame.drop(columns=reasons))
    available = tuple(card for card in result.about.metrics if not card.unavailable)
    assert read.about == dataclasses.replace(result.about, metrics=available)


@pytest.mark.parametrize(
    ("metric", "old", "verdict"),
    [
        # toy_half reaches no goal: FR 0. The baseline's interval up to its value is the room for noise.
        ("toy_FR", {"toy_FR": 0.3, "toy_FR_low": 0.0, "toy_FR_high": 0.6}, "noise"),
        ("toy_FR", {"toy_FR": 0.3, "toy_FR_low": 0.1, "toy_FR_high": 0.6}, "worse"),
        # change is better when lower, and about 0.136
        ("change", {"change": 0.1, "change_low": 0.05, "change_high": 0.2}, "noise"),
        ("change", {"change": 0.1, "change_low": 0.05, "change_high": 0.11}, "worse"),
        ("change", {"change": 0.5, "change_low": 0.4, "change_high": 0.6}, "better"),
        ("spread(mean)", {"spread(mean)": 0.1, "spread(mean)_low": 0.0, "spread(mean)_high": 0.2}, "worse"),
        ("spread(mean)", {"spread(mean)": 0.1, "spread(mean)_low": float("nan"), "spread(mean)_high": 0.2}, "worse"),
    ],
)
def test_without_records_the_baselines_interval_is_the_tolerance(
    result: Result, metric: str, old: dict[str, float], verdict: str
) -> None:
    findings = gate.check(result, moved(result, "toy_half", old), {})
    assert named(findings, "toy_half", metric).verdict == verdict
    assert sum(finding.verdict != "same" for finding in findings) == 1


@pytest.mark.parametrize(("allowed", "verdict"), [(0.0362, "noise"), (0.03, "worse"), (0.0, "worse")])
def test_a_named_tolerance_takes_the_place_of_the_interval(result: Result, allowed: float, verdict: str) -> None:
    value = float(result.frame.set_index("method").loc["toy_half", "change"])
    against = moved(result, "toy_half", {"change": value - 0.036, "change_high": 0.5})
    assert named(gate.check(result, against, {"change": allowed}), "toy_half", "change").verdict == verdict


def test_with_records_the_paired_interval_decides(result: Result, changed: Callable[..., Result]) -> None:
    darker = gate.check(changed(lambda sample: 0.9), result, {})
    change = named(darker, "toy_half", "change")
    assert change.verdict == "worse"
    assert "beyond noise: paired difference in [+" in change.text
    assert named(darker, "toy_push", "change").verdict == "same"
    assert named(darker, "toy_half", "spread(mean)").verdict == "worse", "by the baseline's interval"


def test_one_video_is_noise_and_is_named(result: Result, changed: Callable[..., Result]) -> None:
    findings = gate.check(changed(lambda sample: 0.2 if sample == "light-4" else 1.0), result, {})
    change = named(findings, "toy_half", "change")
    assert change.verdict == "noise"
    assert "over 7 shared videos" in change.text
    assert "largest in light-4 (+" in change.text
    assert change.text.count("light-") == 1, "the other videos did not change"


def test_a_sure_change_within_the_tolerance_holds(result: Result, changed: Callable[..., Result]) -> None:
    after = changed(lambda sample: 0.9)
    assert named(gate.check(after, result, {"change": 0.5}), "toy_half", "change").verdict == "noise"
    assert named(gate.check(result, after, {}), "toy_half", "change").verdict == "better"


def test_missing_and_new_rows(result: Result, before: Path) -> None:
    fewer = dataclasses.replace(result, frame=result.frame.query("method != 'toy_half'"))
    (lost,) = [finding for finding in gate.check(fewer, result, {}) if finding.verdict != "same"]
    assert (lost.verdict, str(lost)) == ("lost", "toy_half: is not in the run")
    (new,) = [finding for finding in gate.check(result, fewer, {}) if finding.verdict != "same"]
    assert (new.verdict, str(new)) == ("new", "toy_half: is not in the baseline")
    assert not new.failing


def with_card(result: Result, metric: str, fields: dict[str, Any]) -> Result:
    cards = [dataclasses.replace(card, **fields) if card.name == metric else card for card in result.about.metrics]
    return dataclasses.replace(result, about=dataclasses.replace(result.about, metrics=tuple(cards)))


@pytest.mark.parametrize(
    ("name", "fields", "text"),
    [
        ("change", {"version": 2}, "change: has version 2, in the baseline 1"),
        ("spread(mean)", {"network": "x"}, "spread(mean): has feature network x, in the baseline mean/colour"),
        ("change", {"unavailable": "no"}, "change: is in the baseline, but is not available now: no"),
        ("change", {"name": "changed"}, "change: is in the baseline, but was not computed"),
    ],
)
def test_metrics_that_cannot_be_compared_fail(result: Result, name: str, fields: dict, text: str) -> None:
    findings = gate.check(with_card(result, name, fields), result, {})
    (finding,) = [each for each in findings if each.failing]
    assert (finding.verdict, str(finding)) == ("incomparable", text)
    assert not any(each.metric == name and each.method for each in findings)


def test_new_metrics_are_named(result: Result) -> None:
    findings = gate.check(with_card(result, "missing(net)", {"unavailable": None, "name": "fresh"}), result, {})
    assert [str(finding) for finding in findings if finding.verdict != "same"] == ["fresh: is not in the baseline"]


def test_failures_skips_and_lost_values_are_worse(result: Result) -> None:
    old = {"failed": 0, "skipped": 3, "n": 5}
    assert str(named(gate.check(result, moved(result, "toy_picky", old), {}), "toy_picky", "skipped")) == (
        "toy_picky skipped: 3 → 8 videos"
    )
    better = named(
        gate.check(moved(result, "toy_push", {"failed": 0}), moved(result, "toy_push", {"failed": 2}), {}),
        "toy_push",
        "failed",
    )
    assert better.verdict == "better"
    findings = gate.check(result, moved(result, "toy_half", {"change_n": 8}), {})
    assert [str(finding) for finding in findings if finding.failing] == [
        "toy_half change: has no value for 1 videos, in the baseline for 0"
    ]
    gone = gate.check(moved(result, "toy_half", {"change": float("nan")}), result, {})
    assert named(gone, "toy_half", "change").verdict == "lost"


def test_other_weights_are_named(result: Result) -> None:
    target = NetworkIdentity("toy_conv", "conv-2")
    configuration = dataclasses.replace(result.about.configuration, target=target)
    other = dataclasses.replace(result, about=dataclasses.replace(result.about, configuration=configuration))
    (note,) = [finding for finding in gate.check(other, result, {}) if finding.verdict != "same"]
    assert str(note) == "the weights of target toy_conv are not those of the baseline"
    assert not note.failing


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ({"seed": 1}, "has seed 0, the run 1"),
        ({"limit": 2}, "has limit 8, the run 2"),
        ({"goals": "all"}, "has goals"),
    ],
)
def test_runs_about_different_questions_are_refused(result: Result, tmp_path: Path, rest: dict, message: str) -> None:
    run(tmp_path / "other", "toy_fragile", **{"limit": 8, **rest})
    with pytest.raises(UsageError, match=message):
        gate.check(baseline.of_run(tmp_path / "other"), result, {})


def test_a_tolerance_for_an_unknown_metric_is_refused(result: Result) -> None:
    with pytest.raises(UsageError, match="no metric 'chang' that is judged; did you mean 'change'"):
        gate.check(result, result, {"chang": 0.1})


def test_pair_metrics_are_judged_by_their_interval(tmp_path: Path) -> None:
    out = runner.run(ask(dataset="toy_dimmer", limit=4), tmp_path / "run", ("toy_bias",))
    result = baseline.of_run(out)
    value = float(result.frame.set_index("method").loc["toy_push", "toy_bias"])
    old = {"toy_bias": value - 1, "toy_bias_low": value - 2, "toy_bias_high": value - 0.5}
    assert named(gate.check(result, moved(result, "toy_push", old), {}), "toy_push", "toy_bias").verdict == "worse"
    assert verdicts(gate.check(result, result, {})) == {"same"}


FINDINGS = [
    Finding("same", "a", "FR", "1 → 1"),
    Finding("worse", "a", "SSIM", "1 → 0.5, 50% & more\nsecond line"),
    Finding("noise", "b", "FR", "1 → 0.9"),
    Finding("lost", "c", "", "is not in the run"),
    Finding("new", "", "L1", "is not in the baseline"),
]


def test_failing_findings_come_first(result: Result) -> None:
    lines = list(gate_report.lines(FINDINGS))
    assert [line.split()[0] for line in lines] == ["worse", "lost", "noise", "new", "FAILED:"]
    assert lines[-1] == "FAILED: 1 same, 1 worse, 1 noise, 1 lost, 1 new"
    assert list(gate_report.lines(FINDINGS[:1])) == ["passed: 1 same"]


def test_junit_counts_and_names() -> None:
    suite = ET.fromstring(gate_report.junit(FINDINGS))
    assert (suite.get("tests"), suite.get("failures")) == ("5", "2")
    failed = {(case.get("classname"), case.get("name")) for case in suite if case.find("failure") is not None}
    assert failed == {("a", "SSIM"), ("c", "present")}
    assert suite.findall("testcase/failure")[0].get("message", "").startswith("1 → 0.5, 50% & more")


def test_annotations_keep_to_one_line() -> None:
    annotations = list(gate_report.github(FINDINGS))
    assert Counter(line.split(" ")[0] for line in annotations) == {"::error": 2, "::notice": 1}
    assert annotations[0].endswith("::a SSIM: 1 → 0.5, 50%25 & more%0Asecond line")


def test_the_command(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table, junit = tmp_path / "toys.csv", tmp_path / "out.xml"
    check = ["check", str(before), "--against", str(table)]
    assert call(monkeypatch, *check) == 2
    assert "--against" in (error := capsys.readouterr().err)
    assert error.count("\n") == 1
    assert call(monkeypatch, *check, "--update") == 0
    assert call(monkeypatch, *check) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("passed: ")
    old = pd.read_csv(table, engine="pyarrow")
    old.loc[old["method"] == "toy_half", ["change", "change_high"]] = 0.01
    old.to_csv(table, index=False)
    assert call(monkeypatch, *check, "--junit", str(junit), "--github") == 1
    out = capsys.readouterr().out
    assert out.startswith("worse        toy_half change: 0.01 → 0.13")
    assert "::error title=vcfe-bench check (worse)::toy_half change: " in out
    assert ET.parse(junit).getroot().get("failures") == "1"
    assert call(monkeypatch, *check, "--tolerance", "change=0.2") == 0
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


@pytest.mark.parametrize(
    "damage", ["{", '{"scheme": 0}', '{"scheme": 1, "configuration": {}, "metrics": [], "methods": []}']
)
def test_a_damaged_baseline_is_refused(result: Result, tmp_path: Path, damage: str) -> None:
    baseline.write(result, tmp_path / "toys.csv")
    (tmp_path / "toys.json").write_text(damage)
    with pytest.raises(UsageError, match=r"toys.csv with toys.json cannot be read"):
        baseline.read(tmp_path / "toys.csv")


def test_an_unfinished_run_is_refused(before: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(before, tmp_path / "copy"))
    records = pd.read_parquet(copy / "records.parquet")
    records.head(3).to_parquet(copy / "records.parquet")
    with pytest.raises(UsageError, match=f"{len(records) - 3} planned tasks have not run"):
        baseline.of_run(copy)
