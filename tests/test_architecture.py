"""The architecture page and the code agree: floors, imports, and the files from the command to the stored video."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import grimp
import pytest
from vcfe_toys.methods import Push

import vcfe_bench
import vcfe_datasets
import vcfe_methods
from vcfe_bench.cli import app
from vcfe_bench.runs.run_directory import RunDirectory

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
PACKAGES = [Path(str(package.__file__)).parent for package in (vcfe_bench, vcfe_methods, vcfe_datasets)]
HOME = PACKAGES[0]


def section(title: str) -> str:
    return re.split(r"^## ", PAGE, flags=re.MULTILINE)[[*re.findall(r"^## (.*)$", PAGE, re.MULTILINE)].index(title) + 1]


def floors_of_the_page() -> list[set[str]]:
    """Import names in the table, from the lowest floor up."""
    rows = re.findall(r"^\| (\d) \| (.*?) \|", section("Floors"), re.MULTILINE)
    assert [int(floor) for floor, _ in rows] == list(range(len(rows), 0, -1))
    names = [re.findall(r"`(.*?)`", rooms) for _, rooms in reversed(rows)]
    return [{name if name.startswith("vcfe_") else f"vcfe_bench.{name}" for name in floor} for floor in names]


def floors_of_the_contract() -> list[set[str]]:
    layers = max((contract["layers"] for contract in CONTRACTS if contract["type"] == "layers"), key=len)
    return [set(re.split(r" [|:] ", layer)) for layer in reversed(layers)]


def test_the_page_has_the_floors_of_the_contract() -> None:
    assert floors_of_the_page() == floors_of_the_contract()
    assert len(floors_of_the_page()) == 7


def test_every_package_stands_on_one_floor() -> None:
    modules = [path.stem for path in HOME.glob("*.py") if path.stem != "__init__"]
    packages = [path.parent.name for path in HOME.glob("*/__init__.py")]
    names = [f"vcfe_bench.{name}" for name in (*modules, *packages)] + ["vcfe_methods", "vcfe_datasets"]
    assert sorted(name for floor in floors_of_the_contract() for name in floor) == sorted(names)


def test_imports_keep_the_contracts() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", ROOT / "pyproject.toml"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph(*(package.name for package in PACKAGES), cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert "vcfe_bench.runs.plan" in imports["vcfe_bench.runs.generate"]
    TopologicalSorter(imports).prepare()


def test_files_are_few_and_short() -> None:
    assert len(list(HOME.glob("*.py"))) <= 8
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for home in PACKAGES for path in home.rglob("*.py")
    }
    assert {str(path): length for path, length in lengths.items() if length > 400} == {}


def test_the_page_names_the_files_from_the_command_to_the_stored_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = re.findall(r"^\d\. `(.*?)`", section("From the command to the stored video"), re.MULTILINE)
    command = next(info.callback for info in app.registered_commands if info.callback.__name__ == "run")
    stacks: dict[str, list[str]] = {}

    def record(function: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*arguments: Any) -> Any:
            stacks[function.__qualname__] = files(sys._getframe(1), command.__code__, [function.__code__])
            return function(*arguments)

        return recorded

    monkeypatch.setattr(Push, "run", record(Push.run))
    monkeypatch.setattr(RunDirectory, "put_video", record(RunDirectory.put_video))
    asked = {"methods": "toy_push", "dataset": "toy_lights", "limit": "1", "metrics": "toy_flip"}
    options = [word for name, value in asked.items() for word in (f"--{name}", value)]
    app(["run", *options, "--out", str(tmp_path / "run"), "--in-process"], standalone_mode=False)
    to_the_method, to_the_video = stacks["Push.run"], stacks["RunDirectory.put_video"]
    assert list(dict.fromkeys([*to_the_method, *to_the_video])) == named
    assert to_the_video[0] == named[0]
    assert to_the_video[-1] == named[-1]
    assert len(named) <= 7


def files(frame: FrameType | None, first: CodeType, last: list[CodeType]) -> list[str]:
    """Files of the package, each once, on the stack from ``first`` to ``frame``, and then those of ``last``."""
    codes = []
    while frame is not None and frame.f_code is not first:
        codes.append(frame.f_code)
        frame = frame.f_back
    assert frame is not None, "the command is not on the stack"
    paths = [Path(code.co_filename) for code in (first, *reversed(codes), *last)]
    return list(dict.fromkeys(path.relative_to(HOME.parent).as_posix() for path in paths if path.is_relative_to(HOME)))
