from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.methods.squares import CHANNELS, Squares
from vcfe_bench.core.errors import UsageError
from vcfe_bench.interfaces import Explanation, Method, Target
from vcfe_bench.plugins.registry import METHODS
from vcfe_bench.runs import goal_selection
from vcfe_bench.runs.setup import Request, Setup
from vcfe_bench.workflows.randomise_target import check_with, layers_of, randomised


class _Deep(Target):
    """Three layers; the first one reads pixels, the last one decides."""

    classes = ("red", "blue")
    fingerprint = "deep"
    spec = "deep"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.body = nn.Sequential(nn.Conv3d(len(CHANNELS), 4, 3), nn.Tanh(), nn.Conv3d(4, 4, (2, 8, 8)), nn.Tanh())
        self.head = nn.Linear(4, 2)
        self.eval().requires_grad_(False)

    def forward(self, video):
        return self.head(self.body(video.transpose(1, 2)).mean(dim=(2, 3, 4)) * 10)


class _Weightless(Target):
    classes = ("red", "blue")
    fingerprint = spec = "weightless"

    def forward(self, video):
        return video.mean(dim=(1, 3, 4))[:, :2]


class _SameEdit(Method):
    """Darkens every video, whatever the target is."""

    spec = "same_edit"

    def run(self, queries, context):
        return [Explanation(query.sample.video / 2) for query in queries]


def _setup(target: Target, *methods: Method) -> Setup:
    dataset = Squares()
    request = Request(tuple(method.spec for method in methods), dataset.spec, limit=4)
    selection = goal_selection.read("one", dataset.classes, None)
    return Setup(request, methods, dataset, target, None, selection)


def test_edits_change_with_the_target_for_a_method_that_follows_its_gradient():
    pgd, same, nothing = METHODS.build("pgd[steps=3]"), _SameEdit(), METHODS.build("no_edit")
    seen = []
    rows = check_with(_setup(_Deep(), pgd, same, nothing), 3, lambda *step: seen.append(step))
    assert [(row.method, row.randomised, row.layers) for row in rows] == [
        (method, count, 3) for method in (pgd.spec, "same_edit") for count in (1, 2, 3)
    ]
    assert all(row.cosine.value == pytest.approx(1) for row in rows if row.method == "same_edit")
    assert abs(rows[2].cosine.value) < 0.5
    assert seen[-1] == ("same_edit", 3, 3)


def test_layers_are_randomised_from_the_output():
    target = _Deep()
    first, middle, last = layers_of(target)
    assert (first, middle, last) == (target.body[0], target.body[2], target.head)
    for count in range(4):
        changed = [
            not torch.equal(a.weight, b.weight)
            for a, b in zip(layers_of(target), layers_of(randomised(target, count, 0)), strict=True)
        ]
        assert changed == [False] * (3 - count) + [True] * count
    one, all_ = randomised(target, 1, 0), randomised(target, 3, 0)
    assert torch.equal(one.head.weight, all_.head.weight)
    assert not torch.equal(one.head.weight, randomised(target, 1, 1).head.weight)
    assert torch.equal(one.head.weight.flatten().sort().values, target.head.weight.flatten().sort().values)


def test_a_target_without_weights_cannot_be_randomised():
    with pytest.raises(UsageError, match="no weights"):
        check_with(_setup(_Weightless(), METHODS.build("pgd")), 2, lambda *step: None)
