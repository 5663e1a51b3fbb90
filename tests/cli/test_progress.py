"""Progress of a run on a terminal and elsewhere."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from tests.harness.toys import METRICS, ask
from vcfe_bench.cli.progress import BarProgress, progress_display
from vcfe_bench.core.errors import UsageError
from vcfe_bench.workflows import run as runner


def test_lines_elsewhere_bars_on_a_terminal(tmp_path: Path) -> None:
    plain, terminal = io.StringIO(), io.StringIO()
    with progress_display(Console(file=plain, width=120)) as observer:
        runner.run(ask("toy_push", "toy_fragile", limit=4), tmp_path / "a", METRICS, observer)
    lines = plain.getvalue().splitlines()
    assert "\x1b" not in plain.getvalue()
    assert len(lines) < 20
    assert any(
        line.startswith("toy_push: first result, video light-0, goal ") and "class=" not in line for line in lines
    )
    assert "toy_push: 4 of 4 videos done" in lines
    assert "toy_fragile: video light-1 failed: ValueError: the light went out" in lines

    loud = io.StringIO()
    with progress_display(Console(file=loud, width=120), verbose=True) as observer:
        runner.run(ask("toy_push", "toy_fragile", limit=4), tmp_path / "c", METRICS, observer)
    results = [line for line in loud.getvalue().splitlines() if line.startswith("toy_push: video ")]
    assert len(results) == 4
    assert all(re.search(r", goal \w+ (not )?met, [\d.]+ s, [\d.]+ calls$", line) for line in results)
    assert "first result" not in loud.getvalue()
    with pytest.raises(UsageError, match="give either --quiet or --verbose"):
        progress_display(Console(), quiet=True, verbose=True)

    with progress_display(Console(file=terminal, width=160, force_terminal=True)) as observer:
        assert isinstance(observer, BarProgress)
        runner.run(ask("toy_push[pause=0.1]", limit=4), tmp_path / "b", METRICS, observer)
    shown = terminal.getvalue()
    assert "toy_push[pause=0.1]" in shown
    assert "video light-0, light-1, light-2 · iteration" in shown
    assert "loss" in shown
