"""What reading tables must not import."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "av", "vcfe_bench.plugins.registry", "vcfe_bench.scoring", "vcfe_bench.metrics", "vcfe_bench.models")


@pytest.mark.parametrize(
    "module",
    [
        "vcfe_bench.results.gate.gate",
        "vcfe_bench.results.gate.files",
        "vcfe_bench.results.leaderboard",
        "vcfe_bench.results.writers",
    ],
)
def test_tables_need_neither_networks_nor_the_registry_of_plug_ins(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & set({HEAVY})))"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert imported.split() == []
