"""``vcfe-bench doctor``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vcfe_bench.cli import main
from vcfe_bench.core import weights
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


@pytest.mark.parametrize(
    ("part", "need"),
    [
        (("metric", "toy_missing"), "repair"),
        (("method", "toy_broken"), "repair"),
        (("generator", "wan"), "parameter"),
        (("dataset", "mead"), "target"),
        (("metric", "shortcut_changed"), "dataset"),
        (("method", "pgd"), ""),
    ],
)
def test_what_a_part_needs(parts: dict[tuple[str, str], Part], part: tuple[str, str], need: str) -> None:
    assert parts[part].need == need
    assert (parts[part].problem is None) == (need == "")


def test_weights_are_not_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def download(*_: object, **__: object) -> None:
        raise AssertionError("downloaded")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    missing = weights.Weights("net.pth", "0123abcd", url="https://example.org/net.pth")
    with weights.no_downloads(), pytest.raises(weights.NotDownloaded, match="is downloaded on first use from https"):
        weights.find(missing)
    with pytest.raises(AssertionError, match="downloaded"):
        weights.find(missing)


def test_a_screen_holds_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["vcfe-bench", "doctor"])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        main()
    text = capsys.readouterr().out
    lines = [line.strip() for line in text.splitlines()]
    total = len(REGISTRIES["targets"].names())
    assert re.search(rf"Work as they are: methods \d+ of .* targets \d+ of {total}", " ".join(lines))
    assert "toy_missing: net.safetensors is missing" in lines
    toys = sum(line.startswith("toy_") for line in lines)
    assert len(lines) - 2 * toys <= 24
    assert max(map(len, lines)) <= 80
    assert "The quick start works; " in " ".join(lines[-2:])


@pytest.mark.slow
def test_nothing_is_imported_that_the_plug_ins_do_not_need() -> None:
    """Tables of runs and signals of scipy take seconds to import."""
    heavy = ("scipy.signal", "vcfe_bench.runs.run_directory")
    code = (
        "import sys; from vcfe_bench.workflows.doctor import examine; print(len(list(examine())) > 100);"
        f"print(*(set(sys.modules) & set({heavy!r})))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["True"]
