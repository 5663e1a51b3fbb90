"""The package template is written, installed into its own environment, and run."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from vcfe_bench.authoring.skeleton import write_method
from vcfe_bench.core.errors import UsageError


def test_it_is_small_and_complete(tmp_path: Path) -> None:
    files = write_method("slow_fade", tmp_path / "package")
    assert [str(file.relative_to(tmp_path / "package")) for file in files] == [
        "pyproject.toml",
        "vcfe_slow_fade.py",
        "tests/test_slow_fade.py",
    ]
    project = tomllib.loads(files[0].read_text())["project"]
    assert project["name"] == "vcfe-slow-fade"
    assert project["entry-points"]["vcfe_bench.methods"] == {"slow_fade": "vcfe_slow_fade:SlowFade"}
    lines = files[1].read_text().splitlines()
    assert len(lines) - lines.index("class SlowFade(Method):") < 20


@pytest.mark.parametrize("name", ["Blend", "2d", "my-method", "a__b", "", "../x"])
def test_what_is_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is not a valid method name"):
        write_method(name, tmp_path / "package")
    assert not list(tmp_path.iterdir())


def test_what_is_there_already(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a method 'toy_push' already exists"):
        write_method("toy_push", tmp_path / "package")
    with pytest.raises(UsageError, match="already exists; choose another --out"):
        write_method("blend", tmp_path)


@pytest.mark.slow
def test_it_installs_and_passes_the_conformance_suite(tmp_path: Path) -> None:
    package, environment = tmp_path / "vcfe-blend", tmp_path / "env"
    command = [sys.executable, "-c", "from vcfe_bench.cli import main; main()"]
    subprocess.run([*command, "new", "method", "blend", "--out", package], check=True)
    venv.create(environment, system_site_packages=True)
    python = environment / "bin" / "python"
    (libraries,) = (environment / "lib").glob("python*/site-packages")
    around = "".join(f"import site; site.addsitedir({folder!r})\n" for folder in site.getsitepackages())
    (libraries / "around.pth").write_text(around)
    install = ["install", "--no-deps", "--no-build-isolation", "--quiet", package]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True)
    assert (libraries / "vcfe_blend.py").exists()
    alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    checked = subprocess.run(
        [python, *command[1:], "check-plugin", "blend"], cwd=tmp_path, env=alone, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "ok   independence" in checked.stdout
    own = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", package], env=alone, capture_output=True, text=True
    )
    assert "1 passed" in own.stdout
