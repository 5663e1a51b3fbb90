from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vcfe_bench.goals import ClassGoal, Goal
from vcfe_bench.interfaces import Case, Dataset, Sample, Split

LOGITS = torch.tensor([0.0, 1.0, 2.0])


class Silent(Dataset):
    """A dataset without optional abilities."""

    classes = ("a", "b", "c")

    def __init__(self, shape: tuple[int, int, int] = (9, 32, 32)) -> None:
        super().__init__()
        self.shape = shape

    def size(self, split: Split) -> int:
        return 1

    def sample(self, split: Split, index: int) -> Sample:
        return Sample("s", torch.zeros(self.shape[0], 3, *self.shape[1:]), 0, 16.0)


@pytest.fixture
def silent() -> Silent:
    return Silent()


@pytest.fixture
def silent_of() -> type[Silent]:
    return Silent


@pytest.fixture
def case(silent: Silent) -> Callable[..., Case]:
    """Builds a case; every part has a default."""

    def build(
        original: Tensor | None = None,
        counterfactual: Tensor | None = None,
        goal: Goal = ClassGoal(2),  # noqa: B008
        before: Tensor = LOGITS,
        after: Tensor = LOGITS,
        dataset: Dataset = silent,
    ) -> Case:
        video = torch.zeros(3, 3, 32, 32) if original is None else original
        edited = video if counterfactual is None else counterfactual
        return Case(dataset, Sample("s", video, 0, 16.0), goal, edited, before, after)

    return build


def noise(seed: int, *shape: int) -> Tensor:
    """Uniform noise in [0, 1]."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))
