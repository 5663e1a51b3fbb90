from __future__ import annotations

import re
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from vcfe_bench.cli import app
from vcfe_bench.cli.dataset import _counts
from vcfe_datasets.shapes.shape_moving import ShapeMoving
from vcfe_datasets.shapes.shape_probe import probe


def test_the_card_of_shape_moving_prints_the_probe_table():
    shown = CliRunner().invoke(app, ["dataset", "card", "shape_moving"])
    assert shown.exit_code == 0
    printed = dict(re.findall(r"^\s*(\d+)\s+(0\.\d\d)\s*$", shown.output, re.MULTILINE))
    assert {int(frame): float(accuracy) for frame, accuracy in printed.items()} == _table()
    assert list(_table()) == list(range(17))


def test_names_of_classes_are_shown_with_their_brackets() -> None:
    console = Console(width=80, file=(text := StringIO()))
    videos = {"label": ["falls [side view]", "[red]stands"], "split": ["train", "test"]}
    console.print(_counts(pd.DataFrame(videos)))
    assert [line.split("  ")[0].strip() for line in text.getvalue().splitlines()[1:3]] == [
        "[red]stands",
        *videos["label"][:1],
    ]


@pytest.mark.slow
def test_the_card_states_what_single_frames_reveal():
    measured = probe(ShapeMoving(), train=3000, held_out=1000, frames=[0, 8, 16])
    assert measured == pytest.approx({frame: _table()[frame] for frame in (0, 8, 16)}, abs=0.06)


def _table() -> dict[int, float]:
    """Accuracy by frame, as stated in the card."""
    rows = re.findall(r"^\| (\d+) \| (0\.\d\d) \|$", ShapeMoving().card(), re.MULTILINE)
    return {int(frame): float(accuracy) for frame, accuracy in rows}
