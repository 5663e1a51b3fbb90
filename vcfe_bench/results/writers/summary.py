"""Summaries as text of a given width, without a line that the terminal would have to wrap."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from vcfe_bench.results.cells import Cell
from vcfe_bench.results.summary import Summary

ARROWS = {"higher": "↑", "lower": "↓", None: ""}
LABEL = 28
"""Longer specs of methods are folded."""
RULE = " references "
IN_ASCII = str.maketrans({"─": "-", "·": "|", "²": "2", "×": "x", "–": "-", "±": "+/-", "°": "deg", "—": "-"})


def render(summary: Summary, width: int, encoding: str = "utf-8", elapsed: str = "") -> Text:
    """The table, at most ``width`` columns wide; columns that do not fit are left out, and a note names them.

    Args:
        summary: the table.
        width: columns of the terminal.
        encoding: of the output; signs that it lacks are replaced, and arrows become a note.
        elapsed: what stands at the right end of the title, for example how long the run took.
    """
    arrows = _can("↑↓", encoding)
    heads = [column.name + column.mark + (ARROWS[column.direction] if arrows else "") for column in summary.columns]
    rows = (*summary.methods, *summary.references)
    label = min(LABEL, max(len(row[0].value) for row in rows if not _is_floor(row)), max(width // 3, 15))
    widths = [label + 1, *(_width(head, [row[place] for row in rows]) for place, head in enumerate(heads) if place)]
    kept = _fitting(widths, summary.priority, width)
    total = sum(widths[place] for place in kept)
    text = Text(no_wrap=True)
    gap = max(min(width, total) - len(summary.title) - len(elapsed), 1)
    for line in _folded(summary.title + (" " * gap + elapsed if elapsed else ""), width):
        text.append(line + "\n", style="bold")
    text.append(_line([heads[place] for place in kept], [widths[place] for place in kept]) + "\n", style="bold")
    for row in summary.methods:
        _append(text, row, kept, widths)
    if summary.references:
        text.append(RULE.center(total, "─") + "\n", style="dim")
    for row in summary.references:
        _append(text, row, kept, widths)
    for note in _notes(summary, kept, arrows):
        for line in _folded(note, width):
            text.append(line + "\n", style="dim")
    text.rstrip()
    return text if _can(text.plain, encoding) else _translated(text, encoding)


def _fitting(widths: Sequence[int], priority: Sequence[int], width: int) -> list[int]:
    """Places of the columns that fit, in reading order; the first two of the priority stay whatever the width."""
    kept, used = [], 0
    for rank, place in enumerate(priority):
        if rank < 2 or used + widths[place] <= width:
            kept.append(place)
            used += widths[place]
    return sorted(kept)


def _width(head: str, cells: Sequence[Cell]) -> int:
    return 1 + max(len(head), *(max(len(cell.value), len(cell.interval)) for cell in cells))


def _is_floor(row: Sequence[Cell]) -> bool:
    return not all(cell.value for cell in row)


def _append(text: Text, row: Sequence[Cell], kept: Sequence[int], widths: Sequence[int]) -> None:
    cells, sizes = [row[place] for place in kept], [widths[place] for place in kept]
    if _is_floor(row):
        text.append(_floor_line(cells, sizes) + "\n", style="dim")
        return
    first, *rest = _folded(cells[0].value, sizes[0] - 1)
    text.append(first.ljust(sizes[0]))
    for cell, size in zip(cells[1:], sizes[1:], strict=True):
        text.append(cell.value.rjust(size), style="bold" if cell.best else "")
    text.append("\n")
    intervals = [cell.interval for cell in cells[1:]]
    if any(intervals):
        text.append(_line([rest.pop(0) if rest else "", *intervals], sizes) + "\n", style="dim")
    for line in rest:
        text.append(line + "\n")


def _floor_line(cells: Sequence[Cell], sizes: Sequence[int]) -> str:
    """The label may reach over the empty cells that follow it."""
    blank = next((place for place, cell in enumerate(cells) if place and cell.value), len(cells))
    start = sum(sizes[:blank])
    values = "".join(cell.value.rjust(size) for cell, size in zip(cells[blank:], sizes[blank:], strict=True))
    label = cells[0].value if len(cells[0].value) < start else "floor".ljust(start)[:start]
    return (label.ljust(start) + values).rstrip()


def _line(texts: Sequence[str], sizes: Sequence[int]) -> str:
    return (texts[0].ljust(sizes[0]) + "".join(t.rjust(s) for t, s in zip(texts[1:], sizes[1:], strict=True))).rstrip()


def _notes(summary: Summary, kept: Sequence[int], arrows: bool) -> list[str]:
    columns = list(enumerate(summary.columns))
    hidden = [column.name for place, column in columns if place not in kept]
    lower = [column.name for place, column in columns if place in kept and column.direction == "lower"]
    notes = [f"Lower is better: {', '.join(lower)}."] if lower and not arrows else []
    notes += [f"Not shown at this width: {', '.join(hidden)}."] if hidden else []
    return [*notes, *summary.notes]


def _folded(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` signs, broken at spaces where there are any, elsewhere after punctuation or anywhere.

    A line that holds a command stays whole, so that it can be copied.
    """
    if len(text) <= width or ": vcfe-bench " in text:
        return [text]
    cut = max((text.rfind(sign, 0, width) + (sign != " ") for sign in " ,["), default=0)
    cut = cut if cut > width // 2 else width
    return [text[:cut].rstrip(), *_folded(text[cut:].lstrip(), width)]


def _can(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _translated(text: Text, encoding: str) -> Text:
    signs = {ord(sign): IN_ASCII[ord(sign)] for sign in set(text.plain) if ord(sign) in IN_ASCII}
    plain = text.plain.translate({code: new for code, new in signs.items() if not _can(chr(code), encoding)})
    safe = plain.encode(encoding, errors="replace").decode(encoding)
    return Text(safe, no_wrap=True, spans=text.spans if len(safe) == len(text.plain) else [])
