"""Cards of the methods on a board: paper, code, parameters, and who ran them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vcfe_bench.core.errors import UsageError
from vcfe_bench.plugins import specs
from vcfe_bench.plugins.listing import Listing
from vcfe_bench.plugins.registry import METHODS
from vcfe_bench.report.board.tables import Board, Table
from vcfe_bench.results.submissions import rules
from vcfe_bench.results.submissions.description import Submission

MAINTAINERS = "the maintainers of vcfe-bench"


@dataclass(frozen=True)
class Page:
    """The page of a built-in method: its path, its first paragraph as Markdown, and the picture of each method."""

    path: str
    paragraph: str
    pictures: Mapping[str, str]


@dataclass(frozen=True)
class Card:
    """What is known about the method of a row.

    Attributes:
        method: its spec as in the tables.
        anchor: of the card within the page.
        code: the package and the class, where it is known.
        parameters: all of them as text.
        ran: who ran it, for each table that has the row.
        page: of a built-in method.
        submission: of a submitted row.
        picture: path of a strip of frames below ``docs``; empty if there is none.
    """

    method: str
    anchor: str
    code: str
    parameters: Mapping[str, str]
    ran: tuple[str, ...]
    page: Page | None
    submission: Submission | None
    picture: str


def pages(docs: Path) -> dict[str, Page]:
    """The pages in ``docs/methods`` by the names of the methods that their introductions are about."""
    found: dict[str, Page] = {}
    for file in sorted((docs / "methods").glob("*.md")):
        text = file.read_text(encoding="utf-8")
        introduction = text.partition("\n## ")[0].partition("\n\n")[2].strip()
        if file.stem == "index" or not introduction:
            continue
        pictures = {name: path for path, name in re.findall(r"\(\.\./(images/(\w+)\.png)\)", text)}
        for name in re.findall(r"`(\w+)`", introduction):
            found.setdefault(name, Page(f"methods/{file.name}", introduction.split("\n\n")[0], pictures))
    return found


def anchor(method: str) -> str:
    """The anchor of a method's card."""
    return "method-" + re.sub(r"\W+", "-", method).strip("-")


def cards(board: Board, known: Mapping[str, Page]) -> list[Card]:
    """A card for each method of a board, in the order of its tables."""
    rows: dict[str, list[Table]] = {}
    for table in board.tables:
        for method in table.result.about.methods:
            rows.setdefault(method, []).append(table)
    return [_card(method, tables, known.get(rules.name(method))) for method, tables in rows.items()]


def _card(method: str, tables: list[Table], page: Page | None) -> Card:
    name = rules.name(method)
    submitted = [table for table in tables if table.submission and table.submission.method == name]
    submission = submitted[0].submission if submitted else None
    picture = page.pictures.get(name, "") if page else ""
    code, parameters = _installed(method)
    if submission is not None:
        code = f"{submission.package} {submission.version}"
        parameters = {**submission.parameters, **_stated(method)}
        picture = submitted[0].strip or picture
    ran = tuple(dict.fromkeys(_ran(table) for table in tables))
    return Card(method, anchor(method), code, parameters, ran, page, submission, picture)


def _ran(table: Table) -> str:
    about = table.result.about
    by = table.submission.by if table.submission else MAINTAINERS
    revision = f", revision {about.revision[:10]}" if about.revision else ""
    return f"{by}, with vcfe-bench {about.vcfe_bench}{revision}"


def _installed(method: str) -> tuple[str, Mapping[str, str]]:
    """Package and class of an installed method, and its parameters with those of the spec.

    Of one that is not installed, or has no such parameters any more, only those of the spec are known.
    """
    name, given = specs.parse(method)
    stated = _stated(method)
    try:
        cls = METHODS.load(name)
        METHODS.parameters(cls, name, given)
    except UsageError:
        return "", stated
    listing = _listings()[name]
    return f"{listing.distribution}, {cls.__module__}.{cls.__qualname__}", {**listing.parameters, **stated}


def _stated(method: str) -> dict[str, str]:
    """The parameters in a spec."""
    return {key: specs.format_value(value) for key, value in specs.parse(method)[1].items()}


@cache
def _listings() -> dict[str, Listing]:
    return {listing.name: listing for listing in METHODS.listings()}
