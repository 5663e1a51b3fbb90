"""The reference rows."""

from __future__ import annotations

import torch
from vcfe_toys.dataset import Lights
from vcfe_toys.models import Blocks, Conv

from vcfe_bench.goals import ClassGoal
from vcfe_bench.interfaces import Context, Dataset, Query, Sample, Split
from vcfe_methods.references import NoEdit, Reconstruction, TrueEdit

CONTEXT = Context(Lights(), Conv(), Blocks())


def queries() -> list[Query]:
    return [Query(CONTEXT.dataset.sample("validation", index), ClassGoal(2), seed=0) for index in (0, 1)]


def test_no_edit_is_the_original() -> None:
    for query, explanation in zip(queries(), NoEdit().run(queries(), CONTEXT), strict=True):
        assert explanation.video.equal(query.sample.video)


def test_reconstruction_is_the_decoded_latent() -> None:
    for query, explanation in zip(queries(), Reconstruction().run(queries(), CONTEXT), strict=True):
        block = query.sample.video[0, 0, :2, :2].mean()
        assert torch.allclose(explanation.video[0, 0, :2, :2], block)
    assert Reconstruction().supports(CONTEXT.dataset, CONTEXT.target, None, ClassGoal(0)) == "needs a generator"


def test_true_edit_has_the_goals_label() -> None:
    for query, explanation in zip(queries(), TrueEdit().run(queries(), CONTEXT), strict=True):
        assert CONTEXT.dataset.oracle(query.sample, explanation.video) == 2
        assert CONTEXT.target(explanation.video[None]).argmax() == 2


class Fixed(Dataset):
    """A dataset that cannot render scenes."""

    shape = (5, 12, 12)

    def size(self, split: Split) -> int:
        return 1

    def sample(self, split: Split, index: int) -> Sample:
        return CONTEXT.dataset.sample(split, index)


def test_true_edit_needs_a_dataset_that_renders() -> None:
    reason = TrueEdit().supports(Fixed(), CONTEXT.target, None, ClassGoal(0))
    assert reason == "the dataset cannot render its scenes with another label"
    assert TrueEdit().supports(CONTEXT.dataset, CONTEXT.target, None, ClassGoal(0)) is None
