"""The conformance check accepts correct methods and reports each violation under the right rule."""

from __future__ import annotations

import sys

import pytest

from vcfe_bench.authoring import conformance
from vcfe_bench.cli import main
from vcfe_bench.core.errors import UsageError

FAULTS = {
    "supports": ("supports", "returns False for the goal class="),
    "raise": ("run", "ValueError: not today"),
    "count": ("count", "0 explanations for 2 queries"),
    "shape": ("shape", "a video of shape (4, 3, 12, 12) for an original of shape (5, 3, 12, 12)"),
    "type": ("shape", "the video is torch.uint8, not a floating-point tensor"),
    "range": ("range", "lie outside [0, 1]"),
    "nan": ("range", "a video has NaN or infinite values"),
    "trace": ("trace", "series of different lengths"),
    "artefacts": ("artefacts", "mask contains Python objects"),
    "calls": ("calls", "called a network past the account: call context.target and context.generator only"),
    "inputs": ("inputs", "changed in place"),
    "target": ("target", "the weights or the mode of the target were changed"),
    "luck": ("determinism", "draw from query.generator()"),
    "neighbours": ("independence", "a result depends on the other queries of the batch"),
}


def problems(spec: str) -> dict[str, str]:
    return {f.rule: f.problem for f in conformance.check(spec, "toy_lights") if f.problem}


@pytest.mark.parametrize("spec", ["toy_push[rate=1]", "toy_half", "toy_rude", "no_edit", "true_edit"])
def test_good_methods_pass(spec: str) -> None:
    findings = list(conformance.check(spec, "toy_lights"))
    assert [finding for finding in findings if finding.problem] == []
    assert [finding.rule for finding in findings][-2:] == ["determinism", "independence"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_only_that(fault: str) -> None:
    rule, text = FAULTS[fault]
    found = problems(f"toy_rude[fault={fault}]")
    assert list(found) == [rule]
    assert text in found[rule]


def test_state_is_found_twice() -> None:
    assert list(problems("toy_rude[fault=state]")) == ["determinism", "independence"]


def test_what_is_not_supported_is_not_tried() -> None:
    findings = list(conformance.check("toy_picky", "toy_lights[videos=1]"))
    assert [(f.rule, f.problem) for f in findings] == [("spec", None), ("supports", None), ("run", None)]
    assert findings[-1].note.startswith("not run: the method ")


def test_unknown_methods_are_the_users_mistake() -> None:
    with pytest.raises(UsageError, match="unknown method 'toy_pusch'"):
        list(conformance.check("toy_pusch", "toy_lights"))


@pytest.mark.parametrize(
    ("spec", "code", "line"),
    [
        ("toy_push[rate=1]", 0, "ok   determinism"),
        ("toy_rude[fault=count]", 1, "FAIL count: 0 explanations for 2 queries"),
    ],
)
def test_from_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], spec: str, code: int, line: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["vcfe-bench", "check-plugin", spec, "--dataset", "toy_lights"])
    with pytest.raises(SystemExit, match=str(code)):
        main()
    assert line in capsys.readouterr().out.splitlines()


@pytest.mark.slow
def test_pgd_on_the_world_that_ships() -> None:
    findings = list(conformance.check("pgd[steps=2]"))
    assert [finding for finding in findings if finding.problem] == []
