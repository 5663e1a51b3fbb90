"""MkDocs hooks that insert content generated from the code: parameters, cards, commands and tables.

The following lines of a page are replaced:

- ``<!-- parameters: bttf -->`` with the table of a method's parameters,
- ``<!-- methods -->``, ``<!-- datasets -->`` and ``<!-- metrics -->`` with tables of the plug-ins of this distribution,
- ``<!-- validation: shape_moving -->`` with the validation of the metrics on a dataset,
- ``<!-- board: shape_moving -->`` with a committed leaderboard,
- ``<!-- kanehira -->`` with the tables of Kanehira et al. and ours, side by side.

``<!-- numbers: shape_moving -->``, which names the table that numbers are quoted from, is removed.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import TypeAdapter
from typer.cli import get_docs_for_click

from vcfe_bench.cli import app
from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.weights import ZOO
from vcfe_bench.interfaces import Card, Metric, PairMetric, SampleMetric
from vcfe_bench.plugins import specs
from vcfe_bench.plugins.registry import DATASETS, METHODS, METRICS, Listing, Registry
from vcfe_bench.report.board import page as public
from vcfe_bench.results.gate.files import read as read_table

OURS = "vcfe-bench"
"""The distribution whose plug-ins are documented."""
BOARDS = Path(__file__).parents[1] / "leaderboards"
STUDIES = BOARDS / "validation"
DETECTED = 0.95
"""AUROC from which a metric is taken to detect a fake."""
INTERVALS = (
    *("FR", "semantic_FR", "cause_changed", "shortcut_changed"),
    *("MAE", "RMSE", "R2"),
    *("negative_class@3(n=3)", "positive_drop", "concept@3"),
)
DISTANCES = ("SSIM", "LPIPS(st-alex)", "FID(st-vgg)", "FVD(i3d)")
"""Columns of a leaderboard that are shown if present: ``INTERVALS`` with their interval, then ``DISTANCES``."""
TUBES = ("tubes_center", "tubes_boxes", "tubes_random", "tubes", "tubes_true")
FIGURE_5 = ("tubes_center", "tubes")
"""Methods alongside the tables of Kanehira et al., and alongside their Figure 5."""
MARKER = re.compile(r"^<!-- (\w+)(?:: ([\w/ ]+))? -->$", re.MULTILINE)
BOUNDS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}
"""How the bounds of a number in a JSON schema are shown."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and expand ``/*`` in the navigation to all pages of a folder."""
    for path, text in _generated_pages(Path(config.config_file_path).parent):
        if files.get_file_from_path(path) is None:
            files.append(File.generated(config, path, content=text))
    config.nav = _expanded(config.nav or [], sorted(file.src_uri for file in files.documentation_pages()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace markers with their tables."""
    datasets_of_pages = functools.partial(datasets, [file.src_uri for file in files])
    tables: dict[str, Callable[..., str]] = {
        "parameters": parameters,
        "methods": methods,
        "datasets": datasets_of_pages,
        "metrics": metrics,
        "validation": validation,
        "board": board,
        "kanehira": kanehira,
        "numbers": lambda _: "",
    }
    return MARKER.sub(lambda match: tables[match[1]](*filter(None, [match[2]])), markdown)


def parameters(method: str) -> str:
    """The parameters of a method: default, accepted values, and values in its presets."""
    cls = METHODS.load(method)
    properties: Mapping[str, Any] = TypeAdapter(cls.Params).json_schema()["properties"]
    presets = {name: values for name, values in cls.presets.items() if values}
    rows = [
        [
            f"`{name}`",
            f"`{specs.format_value(about['default'])}`",
            _values(about),
            *(f"`{specs.format_value(preset[name])}`" if name in preset else "" for preset in presets.values()),
        ]
        for name, about in properties.items()
    ]
    table = _table(["parameter", "default", "values", *(f"`--preset {name}`" for name in presets)], rows)
    own = (base.__dict__.get("__doc__") for base in reversed(cls.Params.__mro__) if dataclasses.is_dataclass(base))
    return "\n\n".join([table, *(_plain(text) for text in own if text)])


def methods() -> str:
    """All methods with the first line of their description."""
    return _table(["method", ""], ([f"`{each.name}`", _plain(each.summary)] for each in ours(METHODS)))


def datasets(pages: Container[str]) -> str:
    """All datasets with the first line of their description and their parameters, linked to their pages."""
    rows = (
        [
            f"[`{each.name}`]({page})" if (page := f"datasets/{each.name}.md") in pages else f"`{each.name}`",
            _plain(each.summary),
            ", ".join(f"`{name}={value}`" for name, value in each.parameters.items()),
        ]
        for each in ours(DATASETS)
    )
    return _table(["dataset", "", "parameters"], rows)


def metrics() -> str:
    """The cards of all metrics, grouped by criterion."""
    named: list[tuple[str, Metric]] = [(each.name, METRICS.build(each.name)) for each in ours(METRICS)]
    named.sort(key=lambda pair: pair[1].card.criterion)
    sections = []
    for criterion, group in itertools.groupby(named, key=lambda pair: pair[1].card.criterion):
        sections.append(f"## {criterion.capitalize()}")
        sections += [_card(name, metric) for name, metric in group]
    return "\n\n".join(sections)


def validation(dataset: str) -> str:
    """AUROC of each metric for each kind of fake, the lowest over the sizes of a kind; 0.95 and above in bold."""
    study = pd.read_csv(STUDIES / f"{dataset}.csv")
    study["kind"] = study["fake"].str.replace(r"\[.*", "", regex=True)
    table = study.pivot_table("auroc", "metric", "kind", "min", sort=False)
    criteria = study.drop_duplicates("metric").set_index("metric")["criterion"]
    rows = [
        [
            f"`{metric}`",
            criteria[metric],
            *("" if pd.isna(v) else f"**{v:.2f}**" if v >= DETECTED else f"{v:.2f}" for v in row),
        ]
        for metric, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return _table(
        ["metric", "criterion", *(f"`{kind}`" for kind in table.columns)], sorted(rows, key=lambda row: row[1])
    )


def board(name: str) -> str:
    """The rows of a committed leaderboard that have results, with the columns of ``INTERVALS`` and ``DISTANCES``."""
    table = read_table(BOARDS / f"{name}.csv").frame.query("n > 0").dropna(axis="columns", how="all")
    rates, distances = ([metric for metric in chosen if metric in table] for chosen in (INTERVALS, DISTANCES))

    def rate(row: Any, metric: str) -> str:
        return f"{row[metric]:.2f} [{row[f'{metric}_low']:.2f}, {row[f'{metric}_high']:.2f}]"

    def distance(row: Any, metric: str) -> str:
        return f"{row[metric]:.0f}" if row[metric] > 10 else f"{row[metric]:.3f}"

    cells = [*((rate, metric) for metric in rates), *((distance, metric) for metric in distances)]
    rows = [
        [f"`{row['method']}`", *("–" if pd.isna(row[metric]) else show(row, metric) for show, metric in cells)]
        for _, row in table.iterrows()
    ]
    return _table(["method", *rates, *distances], rows)


def kanehira() -> str:
    """Tables 2 to 4 of Kanehira et al. alongside ours, and the curves of their Figure 5 from our boards."""
    boards = {layers: BOARDS / f"shape_scenes{suffix}.csv" for layers, suffix in ((1, ""), (2, "_fc2"), (3, "_fc3"))}
    ours = {layers: read_table(path).frame.set_index("method") for layers, path in boards.items() if path.exists()}
    measures = [
        ("2", "p(A) falls", "kanehira_table2", "", "positive_drop", 1),
        *[("3", f"concept, top {k}", "kanehira_table3", f"_top{k}", f"concept@{k}", 1) for k in (1, 3, 5)],
        *[("4", f"negative, fc {n}", "kanehira_table4", f"_fc{n}", "negative_class@3(n=3)", n) for n in (1, 2, 3)],
    ]
    rows = []
    for table, measure, file, suffix, metric, layers in measures:
        paper = pd.read_csv(BOARDS / "paper" / f"{file}.csv").set_index("method")
        published = [
            f"{paper.loc['baseline', name + suffix]:.2f} / {paper.loc['proposed', name + suffix]:.2f}"
            for name in ("Olympic", "UCF101-24")
        ]
        cells = [_value(ours.get(layers), method, metric) for method in TUBES]
        rows.append([table, measure, *published, *cells])
    side_by_side = _table(
        ["Table", "", "Olympic Sports", "UCF101-24", *(f"`{method}`" for method in TUBES)],
        rows,
    )
    curves = [
        [str(n), *(_value(ours.get(1), method, f"negative_class@{k}(n={n})") for k in (1, 3, 5) for method in FIGURE_5)]
        for n in range(1, 8)
    ]
    titles = [f"`{method}`, top {k}" for k in (1, 3, 5) for method in FIGURE_5]
    return f"{side_by_side}\n\n{_table(['negatives', *titles], curves)}"


def _value(board: pd.DataFrame | None, method: str, metric: str) -> str:
    """A value of a board, whatever explainer the method has there; a dash where it was not measured."""
    if board is None or metric not in board:
        return "–"
    values = board.loc[board.index.str.fullmatch(rf"{method}(\[explainer=.*\])?"), metric].dropna()
    return f"{values.iloc[0]:.2f}" if len(values) else "–"


def commands() -> str:
    """The ``--help`` of every command."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name=OURS, title="Commands")
    return re.sub(r"^(Example|Or): (.*)$", r"**\1**: `\2`", text, flags=re.MULTILINE)


def ours(registry: Registry[Any]) -> list[Listing]:
    """The plug-ins of one kind that this distribution registers."""
    return [listing for listing in registry.listings() if listing.distribution == OURS]


def _generated_pages(root: Path) -> Iterator[tuple[str, str | bytes]]:
    """Path and content of generated files: cards, commands, leaderboards, and files of the project's root."""
    for listing in ours(DATASETS):
        try:
            yield f"datasets/{listing.name}.md", DATASETS.build(listing.name).card()
        except UsageError:
            continue  # needs files of the user; its page is hand-written
    for card in (*ZOO.glob("*.md"), *ZOO.glob("*/README.md")):
        yield f"models/{card.stem if card.parent == ZOO else card.parent.name}.md", card.read_text(encoding="utf-8")
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        yield name.lower(), (root / name).read_text(encoding="utf-8")
    yield "commands.md", commands()
    yield from public.pages(BOARDS, root / "docs")


def _expanded(nav: Sequence[Any], paths: Sequence[str]) -> list[Any]:
    expanded: list[Any] = []
    for entry in nav:
        if isinstance(entry, str) and entry.endswith("/*"):
            expanded += [path for path in paths if path.startswith(entry[:-1])]
        elif isinstance(entry, dict):
            expanded.append({key: _expanded(v, paths) if isinstance(v, list) else v for key, v in entry.items()})
        else:
            expanded.append(entry)
    return expanded


def _values(about: Mapping[str, Any]) -> str:
    if "enum" in about:
        return ", ".join(f"`{value}`" for value in about["enum"])
    kind = {"array": "list", "boolean": "`true`, `false`", "string": "text"}.get(about["type"], about["type"])
    return ", ".join([kind, *(text.format(f"{about[key]:g}") for key, text in BOUNDS.items() if key in about)])


def _card(name: str, metric: Metric) -> str:
    card: Card = metric.card
    level = {SampleMetric: "each video", PairMetric: "all values"}
    of = next((text for kind, text in level.items() if isinstance(metric, kind)), "the set of videos")
    low, high = (f"{end:g}".replace("inf", "∞") for end in card.range)
    facts = {
        "better": {"higher": "higher ↑", "lower": "lower ↓", None: "neither"}[card.direction],
        "values": f"{low} to {high}{f', {card.unit}' if card.unit else ''}",
        "minimum videos": str(card.min_samples) if card.min_samples > 1 else "",
        "fails": card.failure_modes,
        "source": card.source,
    }
    rows = ([key, _plain(value)] for key, value in facts.items() if value)
    table = _table(["metric", f"`{name}`, version {card.version}, of {of}"], rows)
    return f"### {card.name}\n\n{card.question}\n\n{table}"


def _plain(text: str) -> str:
    """Text of a docstring as Markdown on one line."""
    return re.sub(r"\s+", " ", text.replace("``", "`")).strip()


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)
