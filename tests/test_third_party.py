"""A third-party package with the examples of the plug-in guide is built, installed into a new environment and run."""

from __future__ import annotations

import ast
import os
import re
import site
import subprocess
import sys
import venv
from pathlib import Path

import pandas as pd
import pytest

GUIDE = Path(__file__).parents[1] / "docs" / "plugins.md"
REGISTERED = {
    "methods": {"blend": "Blend"},
    "datasets": {"blink": "Blink"},
    "targets": {"lamp": "Lamp"},
    "metrics": {"largest_change": "LargestChange"},
}


def examples() -> list[str]:
    """The Python code blocks of the guide."""
    return re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_an_example_is_short_and_needs_the_interfaces_only() -> None:
    blocks = examples()
    assert len(blocks) == len(REGISTERED)
    for block in blocks:
        assert len(block.splitlines()) <= 40
        imported = {node.module for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)}
        assert {name for name in imported if name and name.startswith("vcfe")} <= {
            "vcfe_bench.interfaces",
            "vcfe_bench.goals",
        }


def write_package(folder: Path) -> None:
    """All examples in one module, registered as described in the guide."""
    lines = ["[build-system]", 'requires = ["setuptools>=64"]', 'build-backend = "setuptools.build_meta"']
    lines += ["[project]", 'name = "vcfe-lamps"', 'version = "1.2"', 'dependencies = ["vcfe-bench"]']
    lines += ["[tool.setuptools]", 'py-modules = ["vcfe_lamps"]']
    for kind, names in REGISTERED.items():
        lines.append(f'[project.entry-points."vcfe_bench.{kind}"]')
        lines += [f'{name} = "vcfe_lamps:{cls}"' for name, cls in names.items()]
    folder.mkdir()
    (folder / "pyproject.toml").write_text("\n".join(lines))
    (folder / "vcfe_lamps.py").write_text("\n\n".join(examples()))


def fresh_environment(folder: Path) -> Path:
    """The interpreter of a new environment that can import the libraries of this one, so that nothing is downloaded."""
    venv.create(folder)
    (libraries,) = (folder / "lib").glob("python*/site-packages")
    around = "".join(f"import site; site.addsitedir({place!r})\n" for place in site.getsitepackages())
    (libraries / "around.pth").write_text(around)
    return folder / "bin" / "python"


@pytest.mark.slow
def test_a_package_with_a_plug_in_of_each_kind(tmp_path: Path) -> None:
    write_package(tmp_path / "package")
    pip = [sys.executable, "-m", "pip"]
    wheel = ["wheel", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", tmp_path, tmp_path / "package"]
    subprocess.run([*pip, *wheel], check=True)
    python = fresh_environment(tmp_path / "env")
    (built,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", "--quiet", built], check=True)
    alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def call(*arguments: str) -> str:
        command = [python, "-c", "from vcfe_bench.cli import main; main()", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env={**alone, "COLUMNS": "200"}, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "vcfe-lamps 1.2" in call("list", "methods")
    command = ["run", "--methods", "blend", "--dataset", "blink", "--limit", "4", "--metrics", "fr,largest_change"]
    call(*command, "--out", "run")
    table = pd.read_csv(tmp_path / "run" / "leaderboard.csv").set_index("method")
    assert list(table.index) == ["blend", "true_edit", "reconstruction", "no_edit"]
    assert table.loc["no_edit", "largest_change"] == 0
    assert table.loc["blend", "n"] == 4
    # A lamp of 0.8 that is on in 2 of 5 frames has a mean of 0.32: half of the way there is 0.24, on the 8-bit grid.
    assert table.loc["blend", "largest_change"] == pytest.approx(0.24, abs=1 / 255)
    assert "needs a generator" in set(pd.read_parquet(tmp_path / "run" / "records.parquet")["reason"])
