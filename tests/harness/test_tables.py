"""Joined leaderboards as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from tests.harness.test_cli import call
from tests.harness.toys import run
from vcfe_bench.cli.leaderboard import Format
from vcfe_bench.results import leaderboard
from vcfe_bench.results.grid import grids
from vcfe_bench.results.leaderboard import Leaderboard
from vcfe_bench.results.notes import notes
from vcfe_bench.results.summary import summaries
from vcfe_bench.results.writers import WRITERS, html, latex, markdown, terminal


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    run(folder / "first", "toy_push[label=a|b_c]", "toy_half")
    run(folder / "second", "toy_fragile", "toy_picky", dataset="toy_lights[videos=20]")
    return [folder / "first", folder / "second"]


@pytest.fixture(scope="module")
def board(runs: list[Path]) -> Leaderboard:
    return leaderboard.join(runs)


def test_there_is_a_table_per_division_and_criterion(board: Leaderboard) -> None:
    titles = [grid.title for grid in grids(board)]
    first, second = "dataset toy_lights, target toy_conv: ", "dataset toy_lights[videos=20], target toy_conv: "
    criteria = ["validity", "proximity", "realism", "cost"]
    assert titles == [where + criterion for where in (first, second) for criterion in criteria]


def test_brackets_of_specs_are_shown_on_a_terminal(board: Leaderboard) -> None:
    shown = " ".join(terminal.write(board).split())
    assert "dataset toy_lights[videos=20], target toy_conv: validity" in shown
    assert "toy_push[label=a|b_c]" in shown


def test_bold_is_the_significantly_best_alone(board: Leaderboard) -> None:
    (validity,) = [grid for grid in grids(board) if grid.title == "dataset toy_lights, target toy_conv: validity"]
    bold = [row[0].text for row in validity.rows if any(cell.best for cell in row)]
    assert bold == ["toy_push[label=a|b_c]"], "true_edit is as good, but a reference"
    value = next(row[-1].text for row in validity.rows if row[0].text == "toy_half")
    assert re.fullmatch(r"0\.000 \[0\.000, 0\.\d{3}\] b", value)


def test_only_distinguishing_columns_are_shown(board: Leaderboard, runs: list[Path]) -> None:
    assert all([c.title for c in grid.columns[:2]] == ["method", "n"] for grid in grids(board))
    undivided = leaderboard.join(runs, by=[])
    assert all([c.title for c in grid.columns[:3]] == ["method", "dataset", "n"] for grid in grids(undivided))


def test_a_budget_distinguishes_methods_only_if_it_is_not_the_same_for_all(tmp_path: Path) -> None:
    for budget in (50, 60):
        run(tmp_path / str(budget), "toy_push", budget=budget)
    one, both = (leaderboard.join(paths) for paths in ([tmp_path / "50"], [tmp_path / "50", tmp_path / "60"]))
    assert "budget" not in {column.title for grid in grids(one) for column in grid.columns}
    assert [row[0].text for row in next(summaries(one)).methods] == ["toy_push"]
    assert [row[0].text for row in next(summaries(both)).methods] == ["toy_push (budget 50)", "toy_push (budget 60)"]


def test_notes_name_what_is_skipped_failed_and_not_available(board: Leaderboard) -> None:
    text = "\n".join(notes(board))
    assert re.search(r"toy_picky: 0 failed, [1-7] skipped, [1-7] declined: wants to go right \(", text)
    assert "toy_fragile: 1 failed, 0 skipped, 0 declined: ValueError: the light went out" in text
    assert "missing(net) is not available: net.safetensors is missing" in text
    assert "Methods that share a letter are not distinguishable (" in text


def test_markdown_has_whole_rows(board: Leaderboard) -> None:
    blocks = [block.splitlines() for block in markdown.write(board).split("\n\n")]
    rows = [line for block in blocks for line in block if line.startswith("|")]
    assert len(rows) == sum(len(grid.rows) + 2 for grid in grids(board))
    pushes = [line for line in rows if "toy_push" in line]
    assert all(r"toy_push[label=a\|b_c]" in line for line in pushes)
    assert re.search(r"\| \*\*1\.000 \[0\.\d{3}, 1\.000\] a\*\* \|", pushes[0])
    for block in blocks:
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in block if line.startswith("|")}
        assert len(cells) <= 1


def test_latex_escapes_and_closes_what_it_opens(board: Leaderboard) -> None:
    text = latex.write(board)
    assert r"toy\_push[label=a|b\_c]" in text
    assert r"\textbf{1.000 [0." in text
    assert r"toy\_FR $\uparrow$" in text
    for part in re.findall(r"\\begin\{table\}(.*?)\\end\{table\}", text, re.DOTALL):
        columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", part)
        assert columns is not None
        rows = [line for line in part.splitlines() if line.endswith(r"\\")]
        assert {line.count("&") for line in rows} == {len(columns[1]) - 1}
    unescaped = [line for line in text.splitlines() if not line.startswith("%") and re.search(r"(?<!\\)[_%#]", line)]
    assert unescaped == []


def test_html_holds_every_cell(board: Leaderboard) -> None:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.counts = {"table": 0, "td": 0, "b": 0}
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attributes: object) -> None:
            if tag in self.counts:
                self.counts[tag] += 1
            if tag not in ("meta", "title", "li"):
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            if tag not in ("title", "li"):
                assert self.open.pop() == tag

    reader = Reader()
    reader.feed(html.write(board))
    tables = list(grids(board))
    cells = [cell for grid in tables for row in grid.rows for cell in row]
    assert reader.counts == {"table": len(tables), "td": len(cells), "b": sum(cell.best for cell in cells)}
    assert reader.open == []


def test_a_terminal_of_120_columns_holds_it(board: Leaderboard) -> None:
    console = Console(width=120, file=StringIO(), record=True)
    console.print(terminal.render(board))
    text = console.export_text()
    assert all(len(line.rstrip()) <= 120 for line in text.splitlines())
    assert "toy_FR ↑" in text


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_frames_are_written_whole(
    runs: list[Path], board: Leaderboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    out = tmp_path / f"table{suffix}"
    assert call(monkeypatch, "leaderboard", *map(str, runs), "--out", str(out)) == 0
    read = pd.read_csv(out, dtype={"seed": str}) if suffix == ".csv" else pd.read_parquet(out)
    assert set(read.columns) == set(board.frame.columns)
    pd.testing.assert_series_equal(read["change"], board.frame["change"])
    assert read["method"].tolist() == board.frame["method"].tolist()


@pytest.mark.parametrize(
    ("suffix", "start"),
    [(".md", "**toy_lights · toy_conv"), (".tex", r"\begin"), (".html", "<!D"), (".txt", "d")],
)
def test_the_suffix_implies_the_format(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, start: str
) -> None:
    out = tmp_path / f"table{suffix}"
    assert call(monkeypatch, "leaderboard", *map(str, runs), "--sort", "change", "--out", str(out)) == 0
    assert out.read_text().startswith(start)
    assert "toy_fragile" in out.read_text()


def test_a_restricted_table_says_to_which_counterfactuals(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "leaderboard", str(runs[0]), "--among", "flipped_by_all", "--format", "md", "--full") == 0
    text = capsys.readouterr().out
    assert text == markdown.write(leaderboard.join(runs[:1], among="flipped_by_all"))
    assert "questions whose goal was met by all of" in text
    assert call(monkeypatch, "leaderboard", str(runs[0]), "--among", "flipped_by_all") == 0
    assert "questions whose goal was met by all of" in " ".join(capsys.readouterr().out.split())
    assert call(monkeypatch, "leaderboard", str(runs[0]), "--by", "target_right") == 0
    assert "target_right yes" in capsys.readouterr().out


def test_every_format_that_is_text_has_a_writer() -> None:
    assert set(WRITERS) == set(Format) - {Format.parquet}


def test_formats_are_printed(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "leaderboard", str(runs[0]), "--format", "md", "--full") == 0
    assert capsys.readouterr().out == markdown.write(leaderboard.join(runs[:1]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "table.doc"], "the format of table.doc is not known: end its name in .txt, .md,"),
        (["--format", "parquet"], "parquet cannot be printed: name a file with --out"),
        (["--out", "nowhere/table.md"], "cannot write nowhere/table.md: No such file or directory"),
        (["--by", "colour"], "tables cannot be divided by 'colour'"),
    ],
)
def test_bad_input_gets_one_line(
    runs: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "leaderboard", *map(str, runs), *arguments) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"vcfe-bench: {message}")
    assert errors.count("\n") == 1
