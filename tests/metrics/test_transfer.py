import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.metrics.conftest import Silent
from tests.metrics.targets import Bright, Trend
from vcfe_bench.goals import ClassGoal, parse
from vcfe_bench.metrics.transfer import TransferFlipRate, TransferParams
from vcfe_bench.plugins.registry import frozen_target
from vcfe_bench.runs.run_directory import RunDirectory
from vcfe_bench.runs.setup import Request
from vcfe_bench.video.lossless import dequantise
from vcfe_bench.workflows import run as runner

YES = torch.tensor([-5.0, 5.0])
BLACK = torch.zeros(5, 3, 32, 32)
RISING = BLACK + torch.linspace(0, 0.2, 5).view(5, 1, 1, 1)


@pytest.fixture
def seen_by(case):
    """Scores a flipped video with other targets."""

    def score(video, *targets, original=BLACK, after=YES):
        asked = case(original, video, ClassGoal(1), YES.flip(0), after)
        return TransferFlipRate().score(replace(asked, others={str(i): t for i, t in enumerate(targets)}))

    return score


def test_the_rate_is_the_share_of_other_targets_that_flip(seen_by):
    assert seen_by(RISING, Trend()) == 1
    assert seen_by(RISING, Bright()) == 0
    assert seen_by(RISING, Trend(), Bright()) == 0.5
    assert seen_by(RISING + 0.7, Trend(), Bright()) == 1


def test_targets_whose_prediction_for_the_original_meets_the_goal_are_left_out(seen_by):
    white = torch.ones_like(BLACK)
    assert seen_by(1 - RISING, Bright(), Trend(), original=white) == 0
    assert math.isnan(seen_by(1 - RISING, Bright(), original=white))


def test_only_flips_can_transfer(seen_by):
    assert math.isnan(seen_by(RISING, Trend(), after=YES.flip(0)))
    assert math.isnan(seen_by(RISING * math.nan, Trend()))


class Known(Silent):
    target, transfer_targets = "first", ("first", "second")


def test_the_targets_are_those_given_or_those_of_the_dataset(silent):
    assert "name some with transfer_fr[targets=[...]]" in TransferFlipRate().unavailable(silent)
    assert TransferFlipRate().unavailable(Known()) is None
    assert TransferFlipRate().other_targets(Known()) == ("first", "second")
    named = TransferFlipRate(TransferParams(targets=("third",)))
    assert named.unavailable(silent) is None
    assert named.other_targets(Known()) == ("third",)


def test_a_table_contains_the_share_of_the_other_networks_that_flip(tmp_path: Path):
    request = Request(("pgd[epsilon=60]",), "shape_moving", "validation", target="m_swin_r", limit=2)
    out = runner.run(request, tmp_path / "run", ("fr", "transfer_fr"))
    row = pd.read_csv(out / "leaderboard.csv").set_index("method").loc["pgd[epsilon=60.0]"]
    assert row["FR"] == 1
    store, flips = RunDirectory(out), []
    for record in store.records().values():
        if record.method == "pgd[epsilon=60.0]":
            goal = parse(record.goal)
            for name in ("m_swin", "m_c3d"):
                before, after = (
                    goal.met(frozen_target(name)(dequantise(store.video(video))[None])).item()
                    for video in (record.original, record.video)
                )
                assert not before
                flips.append(after)
    assert len(flips) == 4
    assert row["transfer_FR"] == sum(flips) / 4
