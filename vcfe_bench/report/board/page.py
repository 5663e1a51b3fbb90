"""The public leaderboard as pages for MkDocs, made from a folder ``leaderboards`` alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vcfe_bench.report import drawing, page_templates
from vcfe_bench.report.board import published, tables
from vcfe_bench.report.board.cards import MAINTAINERS, Page, anchor, cards
from vcfe_bench.report.board.cards import pages as method_pages
from vcfe_bench.report.board.plots import plots
from vcfe_bench.report.board.published import Comparison
from vcfe_bench.report.board.tables import FOLDER, Board, Table, number_of
from vcfe_bench.report.summary import of_board
from vcfe_bench.results.grid import grids
from vcfe_bench.results.notes import notes
from vcfe_bench.results.submissions.folder import STRIP
from vcfe_bench.results.summary import STAR
from vcfe_bench.runs.configuration import NONE

OVERVIEW = "leaderboard.md"
ASSETS = ("tables.js", "board.css")
HOW_TO = "how-to-compete.md"
ACTIVE = re.compile(r"[\\`*_{}\[\]()#+\-!|<>&~^$:=\"']")


def pages(folder: Path, docs: Path) -> Iterator[tuple[str, str | bytes]]:
    """Path below ``docs`` and content of each file of the public leaderboard.

    Args:
        folder: ``leaderboards``: tables, submissions, and published tables.
        docs: the folder of the documentation, which has pages of methods.

    Raises:
        UsageError: a table or a submission cannot be read.
    """
    templates = page_templates.environment()
    templates.filters["plain"] = plain
    boards = tables.read(folder)
    yield OVERVIEW, templates.get_template("boards.md.jinja").render(boards=boards, folder=FOLDER, how_to=HOW_TO)
    for name in ASSETS:
        yield f"{FOLDER}/{name}", (files("vcfe_bench.report") / "templates" / name).read_bytes()
    known = method_pages(docs)
    papers = published.read(folder)
    for board in boards:
        text = templates.get_template("board.md.jinja").render(**_board(board, known, _papers(board, papers, folder)))
        yield f"{FOLDER}/{board.page}.md", text
        for table in board.tables:
            yield from ((f"{FOLDER}/{_download(table, file)}", file.read_bytes()) for file in table.files)
            if table.strip:
                yield table.strip, table.path.with_name(STRIP).read_bytes()


def plain(text: object) -> Markup:
    """Text that Markdown and HTML show as it is: signs that mean something to either become entities."""
    return Markup(ACTIVE.sub(lambda sign: f"&#{ord(sign[0])};", " ".join(str(text).split())))


def _download(table: Table, file: Path) -> str:
    """Where a file of a table is published, below ``FOLDER``."""
    return Path(table.name).with_name(file.name).as_posix()


def _board(board: Board, known: Mapping[str, Page], comparisons: Sequence[tuple[Table, Comparison]]) -> dict[str, Any]:
    methods = dict.fromkeys(method for table in board.tables for method in table.result.about.methods)
    places = {method: place for place, method in enumerate(methods)}
    return {
        "board": board,
        "sections": [_section(table, places) for table in board.tables],
        "cards": cards(board, known),
        "comparisons": comparisons,
        "anchor": anchor,
        "how_to": f"../{HOW_TO}",
        "linked": linked,
    }


def linked(paragraph: str) -> Markup:
    """A paragraph of a page in ``docs/methods`` with links that lead to the same places from ``docs/leaderboard``."""
    return Markup(re.sub(r"\]\((?![./#]|https?:)", "](../methods/", paragraph))


def _section(table: Table, places: Mapping[str, int]) -> dict[str, Any]:
    board = table.leaderboard()
    summary = of_board(table.title, board)
    return {
        "table": table,
        "summary": summary,
        "facts": _facts(table),
        "star": STAR if any(STAR in head.title for head in summary.heads) else "",
        "plots": list(plots(board, places)),
        "key": [
            (method, places[method] % drawing.COLOURS, drawing.MARKERS[places[method] % len(drawing.MARKERS)][1])
            for method in board.frame["method"]
        ],
        "grids": list(grids(board)),
        "notes": notes(board),
        "downloads": [(file.suffix[1:], _download(table, file)) for file in table.files],
    }


def _facts(table: Table) -> dict[str, str]:
    made, about = table.made, table.result.about
    return {
        "table": table.name,
        "protocol": f"{made.protocol}{', not kept in full' if table.unmet else ''}",
        "budget": f"{number_of(made.budget)} calls per video" if made.budget else "none",
        "videos": f"{made.limit} of the {made.split} split, goals: {made.goals}, {table.seeds}",
        "generator": made.generator.spec if made.generator else NONE,
        "made with": f"vcfe-bench {about.vcfe_bench}, revision {about.revision or 'unknown'}",
        "made by": table.submission.by if table.submission else MAINTAINERS,
    }


def _papers(board: Board, papers: Sequence[published.Published], folder: Path) -> list[tuple[Table, Comparison]]:
    """Published tables about the dataset and target of a board, with the first table that has one of their methods."""
    found = []
    for paper in papers:
        if (paper.dataset, paper.target) == (board.dataset, board.target):
            pairs = [(table, published.alongside(paper, folder, table.result.frame)) for table in board.tables]
            found += [pair for pair in pairs if any(not side.published for side in pair[1].sides)][:1]
    return found
