from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.methods.squares import Counting, Squares
from tests.methods.toy_generator import ToyGenerator
from vcfe_bench.core import seeds
from vcfe_bench.core.errors import UsageError
from vcfe_bench.diffusion import denoise
from vcfe_bench.goals import ClassGoal
from vcfe_bench.plugins.registry import METHODS
from vcfe_bench.runs import goal_selection
from vcfe_bench.runs.setup import Request, Setup
from vcfe_bench.runs.video_order import video_order
from vcfe_bench.video.lossless import dequantise, quantise
from vcfe_bench.workflows.chance import ALL, DRAW, measure_with

VIDEOS, DRAWS = 6, 4


class _Measured(Squares):
    """Its oracle compares the colours in the second half of the clip; the parity of a sum of pixels is a bystander."""

    bystanders = ("parity",)

    def oracle(self, sample, video):
        red, _, blue = (video[2:] - 0.5).relu().mean(dim=(0, 2, 3))
        return int(blue > red)

    def attributes_of(self, sample, video):
        return {"parity": str(int(quantise(video)[..., ::2, ::2].long().sum()) % 2)}


def _setup(dataset, generator) -> Setup:
    request = Request((DRAW,), dataset.spec, limit=VIDEOS)
    selection = goal_selection.read("one", dataset.classes, None)
    return Setup(request, (METHODS.build(DRAW),), dataset, Counting(), generator, selection)


@torch.no_grad()
def _expected(dataset, generator) -> list[tuple[bool, bool]]:
    """Per draw whether it meets the goal, and whether it also shows it and keeps the bystander."""
    found, target = [], Counting()
    for index in video_order(dataset, "test")[:VIDEOS]:
        sample = dataset.sample("test", index)
        goal = ClassGoal(1 - int(target(sample.video[None]).argmax()))
        for draw in range(DRAWS):
            seed = seeds.derive(seeds.derive(0, sample.id, DRAW), "chance", draw)
            random = torch.Generator().manual_seed(seeds.derive(seed, "noise"))
            noise = torch.randn(1, *generator.latent_shape(dataset.shape), generator=random)
            condition = generator.condition(sample.video[:1], dataset.shape)
            video = dequantise(quantise(generator.decode(denoise(generator, noise, condition, 6))))
            met = bool(goal.met(target(video)))
            shown = dataset.oracle(sample, video[0]) == goal.index
            kept = dataset.attributes_of(sample, video[0]) == dataset.attributes_of(sample, sample.video)
            found.append((met, met and shown and kept))
    return found


def test_chance_levels_are_shares_of_random_draws():
    dataset, generator, seen = _Measured(), ToyGenerator(), []
    levels = measure_with(_setup(dataset, generator), DRAWS, lambda done, total: seen.append((done, total)))
    expected = _expected(dataset, generator)
    met, both = (sum(column) / len(expected) for column in zip(*expected, strict=True))
    assert 0 < both < met < 1
    assert levels["FR"].value == pytest.approx(met)
    assert levels[ALL].value == levels["minimal_FR"].value == pytest.approx(both)
    assert (levels["FR"].n, levels["FR"].clusters) == (VIDEOS * DRAWS, VIDEOS)
    assert seen == [(done, VIDEOS) for done in range(1, VIDEOS + 1)]


class _Never(Counting):
    """Any draw is predicted as the original is, so that no goal is met."""

    def forward(self, video):
        return torch.tensor([1.0, 0.0]).expand(len(video), 2)


def test_the_interval_of_a_level_that_no_draw_reaches_has_a_width():
    """Six videos are the trials of an exact binomial interval, whatever the number of draws."""
    setup = replace(_setup(Squares(), ToyGenerator()), target=_Never())
    level = measure_with(setup, 2, lambda done, total: None)["FR"]
    assert (level.value, level.low) == (0, 0)
    assert level.high == pytest.approx(1 - 0.025 ** (1 / VIDEOS))


def test_a_dataset_without_an_oracle_has_the_chance_of_meeting_a_goal():
    levels = measure_with(_setup(Squares(), ToyGenerator()), 2, lambda done, total: None)
    assert set(levels) == {"FR", ALL}
    assert levels["FR"] == levels[ALL]


def test_there_is_no_chance_level_without_a_generator():
    with pytest.raises(UsageError, match="needs a generator"):
        measure_with(_setup(Squares(), None), 2, lambda done, total: None)
