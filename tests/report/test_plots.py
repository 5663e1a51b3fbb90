"""The contents of the plots, read from their SVG."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from tests.harness.toys import ask, run
from tests.report.worlds import HOSTILE, PUSH, lights
from vcfe_bench.report import drawing, gallery, plots
from vcfe_bench.report.plots import Group
from vcfe_bench.results import leaderboard
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.workflows import run as runner

SVG = "{http://www.w3.org/2000/svg}"


def drawn(path: Path) -> dict[str, Group]:
    board = leaderboard.join([path])
    (world,) = gallery.worlds([RunDirectory(path)])
    methods = board.frame["method"].tolist()
    return {group.title: group for group in plots.groups(world, board.frame, board.metrics, methods)}


def elements(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(SVG + tag))


def texts(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in elements(svg, "text")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lights(tmp_path_factory.mktemp("plots") / "run", PUSH, f"toy_push[label={HOSTILE}]", "toy_picky", limit=8)


@pytest.fixture(scope="module")
def groups(finished: Path) -> dict[str, Group]:
    return drawn(finished)


def test_every_rate_is_plotted_against_every_distance(groups: dict[str, Group]) -> None:
    titles = [plot.title for plot in groups["Validity against proximity"].plots]
    assert titles == ["semantic_FR against change", "toy_FR against change"]
    axes = texts(groups["Validity against proximity"].plots[0].svg)
    assert {"change ↓", "semantic_FR ↑"} <= set(axes)


def test_rates_over_flips_are_not_plotted_against_distances(finished: Path) -> None:
    board = leaderboard.join([finished])
    (world,) = gallery.worlds([RunDirectory(finished)])
    cards = [replace(card, selected=card.name == "semantic_FR") for card in board.metrics]
    groups = plots.groups(world, board.frame, cards, board.frame["method"].tolist())
    (proximity,) = (group for group in groups if group.title == "Validity against proximity")
    assert [plot.title for plot in proximity.plots] == ["toy_FR against change"]


def test_distributions_have_a_dot_for_each_value(finished: Path, groups: dict[str, Group]) -> None:
    (plot,) = groups["Distributions"].plots
    records = RunDirectory(finished).table("records.parquet")
    methods = records.loc[records["change"].notna(), "method"].unique()
    ticks = [element for element in elements(plot.svg, "use") if "stroke: currentColor" in element.get("style", "")]
    assert len(elements(plot.svg, "use")) - len(ticks) == records["change"].notna().sum()
    assert [text for text in texts(plot.svg) if text.startswith(("toy", "true", "recon", "no"))] == [
        method if len(method) <= plots.TICK else method[: plots.TICK - 1] + "…" for method in methods
    ]


def test_convergence_has_a_line_for_each_video_that_ends_in_a_dot(finished: Path, groups: dict[str, Group]) -> None:
    store = RunDirectory(finished)
    ids = store.table("records.parquet").query("status == 'ok' and method == 'toy_push[rate=60.0,steps=2]'")["id"]
    traces = np.array([(store.arrays("traces", id) or {})["loss"] for id in ids])
    plot = groups["Convergence"].plots[0]
    assert plot.title.endswith(": loss")
    paths = [
        e.get("d", "")
        for e in elements(plot.svg, "path")
        if "stroke-width: 0.8" in e.get("style", "") and "var(--series-0)" in e.get("style", "")
    ]
    lines = np.array([re.findall(r"[ML] ([\d.]+) ([\d.]+)", path) for path in paths], float)
    assert lines.shape == (len(traces), 2, 2)
    heights = lines[:, :, 1]
    slope, offset = np.polyfit(traces.ravel(), heights.ravel(), 1)
    assert slope < 0
    assert heights == pytest.approx(slope * traces + offset, abs=1e-2)
    dots = {(e.get("x"), e.get("y")) for e in elements(plot.svg, "use") if "var(--series-0)" in e.get("style", "")}
    assert np.array(sorted(dots), float) == pytest.approx(np.array(sorted({tuple(line[-1]) for line in lines})))


def test_confusion_counts_goals_met_of_goals_requested(finished: Path, groups: dict[str, Group]) -> None:
    records = RunDirectory(finished).table("records.parquet").query("status == 'ok'")
    plot = groups["From source to goal"].plots[0]
    assert plot.title == "toy_push[rate=60.0,st…"
    part = records[records["method"] == "toy_push[rate=60.0,steps=2]"]
    counts = [f"{cell['met'].sum()}/{len(cell)}" for _, cell in part.groupby(["prediction", "goal"])]
    assert sorted(text for text in texts(plot.svg) if "/" in text) == sorted(counts)
    assert {"left", "middle", "right", "source", "goal"} <= set(texts(plot.svg))


def test_of_many_classes_those_that_occur_have_a_row() -> None:
    classes = [f"doing thing {i}" for i in range(400)]
    done = pd.DataFrame(
        {
            "method": "pgd",
            "prediction": [399, 7, 7],
            "goal": ["class=0", "class=0", "class=12"],
            "met": [True, False, True],
        }
    )
    plot = plots._confusion(done, "pgd", classes)
    named = {text for text in texts(plot.svg) if text.startswith("doing")}
    assert named == {"doing thing 7", "doing thing 399", "doing thing 0", "doing thing 12"}
    assert sorted(text for text in texts(plot.svg) if "/" in text) == ["0/1", "1/1", "1/1"]
    assert float(re.match(r"[\d.]+", elements(plot.svg, "svg")[0].attrib["height"])[0]) < 300, "points"


@pytest.mark.filterwarnings("error")
def test_long_names_of_classes_have_room() -> None:
    names = ["jumping over a high hurdle", "throwing a javelin very far"]
    done = pd.DataFrame({"method": "pgd", "prediction": [0], "goal": ["class=1"], "met": [True]})
    assert {*names, "1/1"} <= set(texts(plots._confusion(done, "pgd", names).svg))


def test_reached_values_are_plotted_against_requested_values(tmp_path: Path) -> None:
    path = runner.run(ask(dataset="toy_dimmer", limit=6), tmp_path / "run", ("toy_bias",))
    groups = drawn(path)
    (plot,) = groups["From source to goal"].plots
    dots = [e for e in elements(plot.svg, "use") if "stroke: currentColor" not in e.get("style", "")]
    assert len(dots) == (RunDirectory(path).table("records.parquet")["status"] == "ok").sum()
    assert {"requested", "reached"} <= set(texts(plot.svg))


def test_plots_use_the_colours_of_the_page_and_have_a_text_alternative(groups: dict[str, Group]) -> None:
    for group in groups.values():
        for plot in group.plots:
            root = ElementTree.fromstring(plot.svg)
            assert root.get("role") == "img"
            assert root.get("aria-label")
            assert not re.search(r"#000000|#fe00", plot.svg)
            series = {int(k) for k in re.findall(r"var\(--series-(\d+)\)", plot.svg)}
            assert series <= set(range(drawing.COLOURS))


def test_kinds_without_data_are_not_drawn(tmp_path: Path) -> None:
    run(tmp_path / "run", "toy_picky", limit=2)
    assert "Convergence" not in drawn(tmp_path / "run")


def test_curves_are_medians_by_method_on_one_axis(tmp_path: Path) -> None:
    path = lights(tmp_path / "run", "toy_half", "toy_picky")
    store, rng = RunDirectory(path), np.random.default_rng(0)
    done = store.table("records.parquet").query("status == 'ok'")
    kept = {id: rng.random(11) for id in done["id"]}
    for id, curve in kept.items():
        store.put_arrays("curves", id, {"COUT goal": curve})
    (plot,) = drawn(path)["Curves behind metrics"].plots
    assert plot.title == "COUT goal"
    assert {"share of the counterfactual", "COUT goal"} <= set(texts(plot.svg))
    lines = {
        re.search(r"var\(--series-(\d+)\)", e.get("style", ""))[1]: e.get("d", "")  # type: ignore[index]
        for e in elements(plot.svg, "path")
        if "stroke: var(--series" in e.get("style", "") and "stroke-width: 1.5" in e.get("style", "")
    }
    methods = leaderboard.join([path]).frame["method"].tolist()
    assert len(lines) == done["method"].nunique()
    heights, medians = [], []
    for place, line in lines.items():
        heights += [float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", line)]
        ids = done.loc[done["method"] == methods[int(place)], "id"]
        medians += np.median([kept[id] for id in ids], axis=0).tolist()
    slope, _ = np.polyfit(medians, heights, 1)
    assert slope < 0
    assert np.corrcoef(medians, heights)[0, 1] == pytest.approx(-1, abs=1e-6)


def test_success_is_drawn_against_calls(groups: dict[str, Group]) -> None:
    plots_of_calls = {plot.title: plot for plot in groups["Success against calls"].plots}
    assert list(plots_of_calls) == ["FR against calls", "semantic_FR against calls"]
    assert "calls per video" in texts(plots_of_calls["FR against calls"].svg)
