"""Follows a page of the documentation step by step: writes its files and runs its commands, as a reader would.

A code block with a title is a file, one in ``bash`` is commands, and one in ``python`` without a title is run.
"""

from __future__ import annotations

import re
import runpy
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

from tests.harness.test_cli import call
from vcfe_bench.plugins import names

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def walk(page: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """Follow a page of ``docs/`` in an empty folder; the files and commands, in order.

    Every command has to exit with 0. ``pip install -e`` makes the entry points of the package known, without pip.
    """
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    before, done = set(sys.modules), []
    try:
        for language, file, text in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
            if file:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_text(text, encoding="utf-8")
                done.append(file)
            elif language == "bash":
                for line in text.splitlines():
                    _run(shlex.split(line), monkeypatch)
                    done.append(" ".join(line.split()[:3]))
            elif language == "python":
                exec(compile(text, page, "exec"), {})
                done.append("python")
    finally:
        names.entries.cache_clear()
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                del sys.modules[name]
    return done


def _run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    match words:
        case ["python", script]:
            runpy.run_path(script, run_name="__main__")
        case ["pip", "install", "-e", package]:
            _install(Path(package).resolve(), monkeypatch)
        case ["vcfe-bench", *arguments]:
            assert call(monkeypatch, *arguments) == 0, arguments
        case _:
            raise AssertionError(f"no test runs this command: {words}")


def _install(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    about = package / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())])
        for group, entries in project["entry-points"].items()
    ]
    (about / "entry_points.txt").write_text("\n".join(groups))
    monkeypatch.syspath_prepend(str(package))
    names.entries.cache_clear()
