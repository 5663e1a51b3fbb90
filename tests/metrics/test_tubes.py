from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vcfe_bench.goals import ClassGoal, ValueGoal
from vcfe_bench.interfaces import Case, Sample, Target
from vcfe_bench.metrics.tubes import (
    ConceptTop1,
    ConceptTop3,
    ConceptTop5,
    NegativeClassParams,
    NegativeClassTop1,
    NegativeClassTop3,
    NegativeClassTop5,
    PositiveDrop,
    TubeParams,
    overlap,
)

FRAMES = 3
EVERYWHERE = np.tile([0.0, 0.0, 32.0, 32.0], (1, FRAMES, 1))
TUBE = {"tube_attributes": np.array(["a"]), "tube_boxes": EVERYWHERE}


def logits(*probabilities: float) -> torch.Tensor:
    return torch.tensor(probabilities, dtype=torch.float64).log()


@pytest.fixture
def masked(case):
    """Builds a case of a method that masks: p(c|x) before and after."""

    def build(before, after, goal: int = 1, artefacts=TUBE) -> Case:
        return replace(
            case(before=logits(*before), after=logits(*after), goal=ClassGoal(goal)), artefacts=dict(artefacts)
        )

    return build


BEFORE, AFTER = (0.6, 0.2, 0.1, 0.06, 0.04), (0.3, 0.15, 0.2, 0.3, 0.05)


@pytest.mark.parametrize(
    ("metric", "hits"), [(NegativeClassTop1, [3]), (NegativeClassTop3, [3, 2, 4]), (NegativeClassTop5, [1, 2, 3, 4])]
)
def test_negative_classes_are_ranked_by_the_increase_of_their_probability(masked, metric, hits):
    found = [goal for goal in range(1, 5) if metric().score(masked(BEFORE, AFTER, goal)) == 1]
    assert sorted(hits) == found


def test_only_the_most_probable_negatives_count(masked):
    metric = NegativeClassTop1(NegativeClassParams(negatives=2))
    assert metric.card.name == "negative_class@1(n=2)"
    scores = [metric.score(masked(BEFORE, AFTER, goal)) for goal in range(1, 5)]
    assert scores[:2] == [0, 0]
    assert all(map(math.isnan, scores[2:]))


probabilities = st.permutations(range(1, 8)).map(lambda ranks: [rank / 28 for rank in ranks])


@given(probabilities, probabilities)
def test_the_mean_over_all_negatives_of_a_video_is_chance(before, after):
    """Exactly k of the C - 1 negatives are among the top k if no two have the same increase."""
    goals = [c for c in range(7) if c != int(np.argmax(before))]
    rises = {round((after[c] - before[c]) * 28) for c in goals}
    sample = Sample("s", torch.zeros(FRAMES, 3, 4, 4), 0, 8.0)
    for metric, top in ((NegativeClassTop1(), 1), (NegativeClassTop3(), 3), (NegativeClassTop5(), 5)):
        cases = [
            Case(None, sample, ClassGoal(c), sample.video, logits(*before), logits(*after), TUBE)  # type: ignore[arg-type]
            for c in goals
        ]
        if len(rises) == len(goals):
            assert np.mean([metric.score(case) for case in cases]) == pytest.approx(top / 6)


def test_a_mask_without_effect_explains_nothing(masked):
    assert NegativeClassTop3().score(masked(BEFORE, BEFORE)) == 0
    assert PositiveDrop().score(masked(BEFORE, BEFORE)) == 0


@pytest.mark.parametrize(("after", "dropped"), [((0.5, 0.5), 1.0), ((0.61, 0.39), 0.0)])
def test_positive_drop(masked, after, dropped):
    assert PositiveDrop().score(masked((0.6, 0.4), after)) == dropped


@pytest.mark.parametrize("metric", [NegativeClassTop1, NegativeClassTop3, PositiveDrop, ConceptTop1])
def test_without_tubes_there_is_no_value(masked, metric):
    assert math.isnan(metric().score(masked(BEFORE, AFTER, artefacts={})))


def test_without_a_negative_class_there_is_no_value(masked):
    assert math.isnan(NegativeClassTop1().score(masked(BEFORE, AFTER, goal=0)))
    values = replace(masked(BEFORE, AFTER), goal=ValueGoal(1.0, 1.0))
    assert math.isnan(NegativeClassTop1().score(values))
    broken = replace(masked(BEFORE, AFTER), after=torch.full((5,), math.nan))
    assert math.isnan(NegativeClassTop1().score(broken))
    assert math.isnan(PositiveDrop().score(broken))


@st.composite
def tubes(draw):
    """Integer boxes in 6×6 pixels, some frames without one."""
    boxes = np.full((FRAMES, 4), np.nan)
    for t in range(FRAMES):
        if draw(st.booleans()):
            left, top = draw(st.integers(0, 5)), draw(st.integers(0, 5))
            boxes[t] = left, top, draw(st.integers(left + 1, 6)), draw(st.integers(top + 1, 6))
    return boxes


def voxels(boxes: np.ndarray) -> set[tuple[int, int, int]]:
    return {
        (t, y, x)
        for t, (left, top, right, bottom) in enumerate(boxes)
        if not np.isnan(left)
        for y in range(int(top), int(bottom))
        for x in range(int(left), int(right))
    }


@given(tubes(), tubes())
def test_overlap_equals_counted_voxels(first, second):
    a, b = voxels(first), voxels(second)
    assert overlap(first, second) == pytest.approx(len(a & b) / len(a | b) if a | b else 0.0)


def box(left: float) -> np.ndarray:
    return np.tile([left, 0.0, left + 4, 4.0], (FRAMES, 1))


@pytest.fixture
def concept(case):
    """Builds a case: tubes at given positions with their attributes, on a video with three objects."""

    def build(names, places, label: int = 2) -> Case:
        objects = [
            {"attributes": ["red", "disc"], "boxes": box(0).tolist()},
            {"attributes": ["blue", "disc"], "boxes": box(10).tolist()},
            {"attributes": ["green", "square"], "boxes": box(20).tolist()},
        ]
        found = case()
        artefacts = {"tube_attributes": np.array(names), "tube_boxes": np.stack([box(place) for place in places])}
        sample = Sample("s", found.sample.video, label, 8.0, {"attributes": [], "objects": objects})
        return replace(found, sample=sample, artefacts=artefacts)

    return build


@pytest.mark.parametrize(
    ("name", "place", "ranks"),
    [
        ("red", 1, (0, 1, 1)),
        ("disc", 1, (0, 1, 1)),
        ("blue", 1, (0, 0, 0)),
        ("disc", 11, (0, 1, 1)),
        ("square", 11, (0, 0, 0)),
        ("blue", 8, (0, 1, 1)),
        ("unheard of", 1, (0, 0, 0)),
        ("red", 30, (0, 0, 0)),
    ],
)
def test_attributes_that_tie_take_the_worst_rank_of_their_group(concept, name, place, ranks):
    assert tuple(m().score(concept([name], [place])) for m in (ConceptTop1, ConceptTop3, ConceptTop5)) == ranks


def test_the_attribute_that_overlaps_most_alone_is_the_first(concept):
    """The wide tube overlaps 12 of 44 with the first object's and 4 of 44 with the second's; both are discs."""
    found = concept(["red"], [0])
    wide = np.tile([0.0, 0.0, 11.0, 4.0], (1, FRAMES, 1))
    objects = [
        {"attributes": ["red"], "boxes": box(0).tolist()},
        {"attributes": ["blue", "disc"], "boxes": box(10).tolist()},
    ]
    sample = replace(found.sample, attributes={"objects": objects})
    for name, ranks in (("red", [1, 1]), ("blue", [0, 1]), ("disc", [0, 1])):
        artefacts = {"tube_attributes": np.array([name]), "tube_boxes": wide}
        case = replace(found, sample=sample, artefacts=artefacts)
        assert [metric().score(case) for metric in (ConceptTop1, ConceptTop3)] == ranks


names = st.sampled_from(["a", "b", "c", "d", "e", "f"])


@given(st.lists(st.tuples(st.sets(names, min_size=1), tubes()), min_size=1, max_size=4), tubes(), names)
def test_concepts_are_ranked_by_counted_voxels(things, tube, name):
    """Independent ranking: voxels are counted, and scipy ranks ties by the worst of their group."""
    shares = {each: 0.0 for each in "abcdef"}
    for owned, boxes in things:
        a, b = voxels(tube), voxels(boxes)
        for each in owned:
            shares[each] = max(shares[each], len(a & b) / len(a | b) if a | b else 0.0)
    ranks = dict(zip(shares, stats.rankdata([-round(share, 9) for share in shares.values()], "max"), strict=True))
    objects = [{"attributes": sorted(owned), "boxes": boxes.tolist()} for owned, boxes in things]
    sample = Sample("s", torch.zeros(FRAMES, 3, 6, 6), 0, 8.0, {"objects": objects})
    output = torch.tensor([1.0, 0.0])
    artefacts = {"tube_attributes": np.array([name]), "tube_boxes": tube[None]}
    case = Case(None, sample, ClassGoal(1), sample.video, output, output, artefacts)  # type: ignore[arg-type]
    for metric, top in ((ConceptTop1(), 1), (ConceptTop3(), 3), (ConceptTop5(), 5)):
        assert metric.score(case) == (shares[name] > 0 and ranks[name] <= top)


class Windows(Target):
    """The outputs are the sums of three windows of the video."""

    spec = fingerprint = "windows"

    def forward(self, video):
        return torch.stack([video[..., :8, :8], video[..., 8:16, 8:16], video[..., 16:, 16:]]).sum((2, 3, 4, 5)).T / 99


def test_each_pair_is_masked_and_scored_on_its_own():
    """Tubes over the first and the last window, one over nothing; the video of the case is never read."""
    video = torch.rand(FRAMES, 3, 24, 24, generator=torch.Generator().manual_seed(0)) * 0.5
    video[..., :8, :8] += 0.5
    video = (video * 255).round() / 255
    places = [(0, 8), (16, 24), (30, 40)]
    tube_boxes = np.stack([np.tile([low, low, high, high], (FRAMES, 1)) for low, high in places]).astype(float)
    artefacts = {"tube_attributes": np.array(["a", "b", "c"]), "tube_boxes": tube_boxes}
    target, changes = Windows(), []
    before = target(video[None])[0]
    for low, high in places:
        gone = video.clone()
        gone[..., low:high, low:high] = (video.mean((0, 2, 3)) * 255).round()[:, None, None] / 255
        changes.append((target(gone[None])[0].softmax(0) - before.softmax(0)).tolist())
    sample = Sample("s", video, 0, 8.0)
    expected_drop = np.mean([change[0] < 0 for change in changes])
    each = TubeParams(each=True)
    for goal in (1, 2):
        case = Case(None, sample, ClassGoal(goal), video * math.nan, before, before, artefacts, target)  # type: ignore[arg-type]
        metric = NegativeClassTop1(NegativeClassParams(each=True))
        right = np.mean([change[goal] > change[3 - goal] for change in changes])
        assert metric.score(case) == pytest.approx(right)
        assert PositiveDrop(each).score(case) == pytest.approx(expected_drop)
    assert 0 < expected_drop < 1
    assert (metric.card.name, PositiveDrop(each).card.name) == ("negative_class@1(each)", "positive_drop(each)")
    assert metric.needs_target
    assert not NegativeClassTop1().needs_target


def test_pairs_are_averaged(concept):
    assert ConceptTop3().score(concept(["red", "green", "green"], [0, 0, 20])) == pytest.approx(2 / 3)


def test_only_correctly_classified_videos_count(concept):
    assert math.isnan(ConceptTop1().score(concept(["red"], [0], label=1)))
