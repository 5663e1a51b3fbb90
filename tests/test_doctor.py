"""``vcfe-bench doctor``."""

from __future__ import annotations

import re
import sys

import pytest
import torch

from vcfe_bench.cli import main
from vcfe_bench.plugins.registry import REGISTRIES
from vcfe_bench.workflows.doctor import Part, examine


@pytest.fixture(scope="module")
def parts() -> dict[tuple[str, str], Part]:
    return {(part.kind, part.name): part for part in examine()}


def test_every_plugin_is_examined(parts: dict[tuple[str, str], Part]) -> None:
    for registry in REGISTRIES.values():
        assert registry.names() == [name for kind, name in parts if kind == registry.kind]


def test_what_works_and_what_is_missing(parts: dict[tuple[str, str], Part]) -> None:
    assert parts["version", "torch"].about == torch.__version__.partition("+")[0]
    assert parts["target", "m_swin"].problem is None
    assert parts["metric", "toy_flip"].problem is None
    assert parts["metric", "toy_missing"].problem == "net.safetensors is missing"
    assert "toy_broken' cannot be loaded: ModuleNotFoundError" in str(parts["method", "toy_broken"].problem)


def test_from_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["vcfe-bench", "doctor"])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit, match="0"):
        main()
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    total = len(REGISTRIES["targets"].names())
    assert any(re.fullmatch(rf"targets: \d+ of {total} work as they are", line) for line in lines)
    assert any(line.endswith("toy_missing: net.safetensors is missing") for line in lines)
    assert lines[-1].startswith("The quick start works. ")
    assert len(lines) <= 40
