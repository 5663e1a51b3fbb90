"""The comparisons of the precision page, with their tolerances; ``nox -s parity`` repeats all measurements."""

from __future__ import annotations

import importlib
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.parity.measurement import Measurement, absolute, bound, page, relative

PUBLISHED = Path(__file__).parents[2] / ".nox" / "parity" / "bin" / "python"
PAGE = Path(__file__).parents[2] / "docs" / "precision.md"
QUICK = ("distances:frechet", "distances:kernel", "intervals:intervals", "independence:independence", "attack:pgd")
IN_ITS_OWN = ("i3d:i3d", "faces:faces")
"""Comparisons with networks that run in the environment of ``nox -s parity``."""
SLOW = ("frames:ssim", "frames:lpips", "frames:fid", *IN_ITS_OWN)


def exact(measurement: Measurement) -> str:
    """A row of the page without the difference, which depends on the processor."""
    return f"| {measurement.what} | {measurement.reference} | {measurement.on} |"


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_no_difference_is_larger_than_its_tolerance(name: str) -> None:
    module, function = name.split(":")
    if name != "distances:frechet":
        pytest.importorskip("torch_fidelity", reason="the extra 'parity' is not installed")
    if name in IN_ITS_OWN and not PUBLISHED.exists():
        pytest.skip("nox -s parity has not made its environment yet")
    arguments = (PUBLISHED,) if name in IN_ITS_OWN else ()
    written = PAGE.read_text().splitlines()
    for found in getattr(importlib.import_module(f"tests.parity.{module}"), function)(*arguments):
        assert found.held, found
        (row,) = (line for line in written if line.startswith(exact(found)))
        assert row.endswith(f"| {bound(found)} |"), "the page is out of date: nox -s parity"


def test_differences_by_hand() -> None:
    assert absolute([1.0, -4.0], [1.5, -2.0]) == 2.0
    assert relative([1.0, -4.0], [1.5, -2.0]) == 1.0
    with pytest.raises(AssertionError):
        absolute([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("difference", "tolerance", "held", "words"),
    [
        (0.5, None, True, "reported (relative)"),
        (0.0, 0, True, "exact"),
        (1e-300, 0, False, "exact"),
        (1e-5, 1e-5, True, "≤ 1e-05 relative"),
        (2e-5, 1e-5, False, "≤ 1e-05 relative"),
        (float("nan"), 1e-5, False, "≤ 1e-05 relative"),
    ],
)
def test_what_is_compared(difference: float, tolerance: float | None, held: bool, words: str) -> None:
    found = Measurement("SSIM", "another", "videos", difference, "relative", tolerance)
    assert found.held == held
    assert bound(found) == words
    assert page([found]).splitlines()[-1] == f"| SSIM | another | videos | {difference:.1e} | {words} |"


def test_without_the_extra_one_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = importlib.import_module("tests.parity.__main__")
    monkeypatch.setattr(command, "EXTRA", ("a_package_that_is_not_installed",))
    monkeypatch.setattr(sys, "argv", ["parity", "--published", "python"])
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert "pip install -e '.[dev,parity]'" in capsys.readouterr().err


@pytest.mark.parametrize(("difference", "code"), [(1e-6, 0), (1e-4, 1)])
def test_the_command_writes_the_page_and_fails_beyond_a_tolerance(
    difference: float, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = importlib.import_module("tests.parity.__main__")
    one = Measurement("SSIM", "another", "videos", difference, "relative", 1e-5)
    monkeypatch.setattr(command, "COMPARISONS", ())
    monkeypatch.setattr(command, "i3d", lambda python: iter([one]))
    monkeypatch.setattr(command, "faces", lambda python: iter(()))
    monkeypatch.setattr(command, "EXTRA", ())
    monkeypatch.setattr(command, "PAGE", tmp_path / "precision.md")
    monkeypatch.setattr(command, "Console", lambda: Console(file=StringIO()))
    monkeypatch.setattr(sys, "argv", ["parity", "--published", "python"])
    assert command.main() == code
    assert (tmp_path / "precision.md").read_text() == page([one])
