"""The page that is a notebook: it runs, and its output is what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def execute(folder: Path) -> list[str]:
    """The HTML, or else the text, that each cell with code shows."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    book = nbformat.read(PAGE, as_version=4)
    nbclient.NotebookClient(
        book, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}
    ).execute()
    return [shown(cell) for cell in book.cells if cell.cell_type == "code"]


def shown(cell) -> str:
    data = [output.get("data", {}) for output in cell.outputs]
    return "".join(str(one.get("text/html", one.get("text/plain", ""))) for one in data)


def rows(html: str) -> dict[str, list[str]]:
    """Cells of table rows by their first one."""
    found = [re.findall(r"<t[dh][^>]*>(?:<b>)?([^<]*)", row) for row in re.findall(r"<tr.*?</tr>", html, re.DOTALL)]
    return {cells[0]: cells[1:] for cells in found if cells}


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_it_says(tmp_path: Path) -> None:
    first, summary, video, table, means, comparison = execute(tmp_path)
    assert rows(first)["pgd"][:2] == ["1.00", "0.00"], "flips everything, nothing moves as requested"
    assert rows(first)["true_edit"][:2] == ["1.00", "1.00"]
    assert re.fullmatch(r"1\.00 \[0\.\d\d, 1\.00\]", rows(summary)["pgd"][0])
    assert len(re.findall("<video", video)) == 1 + 2 * 4
    assert "goal met" in video
    assert "FR_low" in table
    assert "reconstruction" in means
    assert {"pgd", "pgd[epsilon=0.01]"} <= set(rows(comparison))


def test_the_committed_page_is_executed_without_errors() -> None:
    nbformat = pytest.importorskip("nbformat")
    book = nbformat.read(PAGE, as_version=4)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
    assert rows(shown(cells[0]))["pgd"][:2] == ["1.00", "0.00"]
    assert "/tmp/" not in PAGE.read_text(encoding="utf-8")
