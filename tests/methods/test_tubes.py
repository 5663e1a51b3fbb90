from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.methods.small import Linear
from tests.methods.squares import CHANNELS, SIDE, Counting, Squares
from vcfe_bench.core import weights
from vcfe_bench.core.errors import UsageError
from vcfe_bench.goals import AvoidGoal, ClassGoal, ValueGoal
from vcfe_bench.interfaces import Context, Explanation, Query
from vcfe_bench.metrics.tubes import overlap
from vcfe_bench.video.masking import inside, masked
from vcfe_datasets.shapes.shape_moving import ShapeMoving
from vcfe_methods.tubes.explainer import Explainer, pair_of
from vcfe_methods.tubes.method import CentreParams, Tubes, TubesCentre, TubesParams, TubesRandom


class Unannotated(Squares):
    """A copy of a dataset in which the file with the attributes is missing."""

    attributes = ()


DATASET, TARGET = Squares(), Counting()
VIDEOS = 12
EVIDENCE = torch.tensor([1.0, -1.0]).view(2, 1, 1)


@pytest.fixture(scope="module")
def explainer(tmp_path_factory) -> str:
    """Weights that respond to the colour of each class, twice as strongly for the attribute of this colour."""
    made = Explainer([6, 6], len(DATASET.classes), len(DATASET.attributes)).requires_grad_(False)
    red, blue = CHANNELS.index("red"), CHANNELS.index("blue")
    for w_c, w_s in zip(made.w_c, made.w_s, strict=True):
        w_c.zero_()
        w_s.zero_()
        w_c[0, [red, blue]], w_c[1, [red, blue]] = EVIDENCE, -EVIDENCE
        w_s[0, red] = w_s[1, blue] = 1
    made.pair.copy_(pair_of(DATASET, TARGET))
    path = tmp_path_factory.mktemp("explainer") / "tubes.safetensors"
    save_file(made.state_dict(), path)
    return str(path)


def _queries() -> list[Query]:
    samples = [DATASET.sample("validation", index) for index in range(VIDEOS)]
    return [Query(sample, ClassGoal(1 - int(sample.label)), seed=k) for k, sample in enumerate(samples)]


def _explanations(method) -> list[Explanation]:
    return method.answer(_queries(), Context(DATASET, TARGET))


@pytest.fixture(scope="module")
def explanations(explainer) -> list[Explanation]:
    return _explanations(Tubes(TubesParams(explainer=explainer)))


def test_tubes_are_where_the_evidence_is(explanations):
    shares = []
    for query, result in zip(_queries(), explanations, strict=True):
        (tube,) = result.artefacts["tube_boxes"]
        own, distractor = (np.array(o["boxes"], float) for o in query.sample.attributes["objects"])
        shares.append(overlap(tube, own))
        assert overlap(tube, own) > overlap(tube, distractor)
    assert np.mean(shares) > 0.3


def test_tubes_have_the_class_pair_and_its_attribute(explanations):
    for query, result in zip(_queries(), explanations, strict=True):
        assert result.artefacts["tube_attributes"].tolist() == [DATASET.classes[query.sample.label]]
        assert result.artefacts["tube_classes"].tolist() == [query.sample.label, 1 - query.sample.label]
        assert result.artefacts["tube_scores"][0] > 0


def test_masking_the_tubes_lowers_the_confidence(explanations):
    originals = torch.stack([query.sample.video for query in _queries()])
    labels = torch.tensor([query.sample.label for query in _queries()])[:, None]
    before, after = (
        TARGET(videos).softmax(1).gather(1, labels)
        for videos in (originals, torch.stack([e.video for e in explanations]))
    )
    assert (after < before).all()


def test_pixels_outside_the_tubes_are_unchanged(explanations):
    for query, result in zip(_queries(), explanations, strict=True):
        (tube,) = result.artefacts["tube_boxes"]
        changed = (result.video != query.sample.video).any(dim=1)
        assert changed.any()
        assert not changed[~inside(tube, (SIDE, SIDE))].any()


def test_pairs_are_ordered_and_their_attributes_differ(explainer):
    for result, one in zip(
        _explanations(Tubes(TubesParams(explainer=explainer, pairs=9))),
        _explanations(Tubes(TubesParams(explainer=explainer))),
        strict=True,
    ):
        scores = result.artefacts["tube_scores"]
        assert sorted(result.artefacts["tube_attributes"]) == sorted(DATASET.attributes)
        assert (np.diff(scores) <= 0).all()
        assert scores[0] == one.artefacts["tube_scores"][0]
        np.testing.assert_array_equal(result.artefacts["tube_boxes"][0], one.artefacts["tube_boxes"][0])


def test_random_attributes_have_their_own_best_tubes(explainer):
    everything = _explanations(Tubes(TubesParams(pairs=len(DATASET.attributes), explainer=explainer)))
    result = _explanations(TubesRandom(TubesParams(explainer=explainer)))
    for random, own in zip(result, everything, strict=True):
        (k,) = np.flatnonzero(own.artefacts["tube_attributes"] == random.artefacts["tube_attributes"][0])
        np.testing.assert_array_equal(random.artefacts["tube_boxes"][0], own.artefacts["tube_boxes"][k])
        assert random.artefacts["tube_scores"][0] == own.artefacts["tube_scores"][k]
    names = [e.artefacts["tube_attributes"][0] for e in result]
    assert len(set(names)) > 1
    assert names == [
        e.artefacts["tube_attributes"][0] for e in _explanations(TubesRandom(TubesParams(explainer=explainer)))
    ]


def test_the_centre_tube_has_the_size_of_the_paper():
    for query, result in zip(_queries(), _explanations(TubesCentre(CentreParams(pairs=2))), strict=True):
        boxes = result.artefacts["tube_boxes"]
        sides = boxes[..., 2:] - boxes[..., :2]
        np.testing.assert_allclose(sides, SIDE * 32 / 112)
        np.testing.assert_allclose(boxes[..., 2:] + boxes[..., :2], SIDE)
        assert len(set(result.artefacts["tube_attributes"])) == 2
        assert result.artefacts["tube_classes"].tolist() == [query.sample.label, 1 - query.sample.label]


def test_masked_pixels_have_the_mean_colour():
    video = torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    boxes = np.array([[1.5, 0.0, 3.5, 2.0], [np.nan] * 4])
    result = masked(video, boxes[None])
    expected = video.clone()
    expected[0, :, :2, 1:3] = video.mean(dim=(0, 2, 3))[:, None, None]
    torch.testing.assert_close(result, expected)
    both = masked(video, np.stack([boxes, boxes[::-1]]))
    assert (both != video).any(dim=1).sum(dim=(1, 2)).tolist() == [4, 4]


def test_unsupported_combinations_have_a_reason(tmp_path, monkeypatch, explainer):
    monkeypatch.setattr(weights, "ZOO", tmp_path)
    goal, named = ClassGoal(1), Tubes(TubesParams(explainer=explainer))
    assert named.supports(DATASET, TARGET, None, goal) is None
    assert named.supports(DATASET, TARGET, None, AvoidGoal(1)) == "needs a goal that is a class, not avoid=1"
    assert named.supports(DATASET, TARGET, None, ValueGoal(1, 2)) == "needs a goal that is a class, not value=1±2"
    for dataset in (ShapeMoving(), Unannotated()):
        assert "no attributes that distinguish its classes" in named.supports(dataset, TARGET, None, goal)
    assert named.supports(DATASET, Linear(), None, goal) == "the target does not expose mid-level features"
    assert "trained for another target" in named.supports(DATASET, Counting(1.0), None, goal)
    assert Tubes().supports(DATASET, TARGET, None, goal).startswith("no explainer for counting on squares: train one")
    assert TubesCentre().supports(DATASET, Linear(), None, goal) is None


def test_shipped_weights_are_selected_by_dataset_and_target(tmp_path, monkeypatch, explainer):
    monkeypatch.setattr(weights, "ZOO", tmp_path)
    target, dataset = Counting(), Squares()
    target.spec, dataset.spec = "counting[sure=60.0]", "squares"
    empty = Tubes()
    (tmp_path / "tubes-squares-counting-sure=60.0.safetensors").write_bytes(Path(explainer).read_bytes())
    assert Tubes().supports(dataset, target, None, ClassGoal(0)) is None
    assert Tubes().fingerprint != empty.fingerprint


def test_the_fingerprint_follows_the_weights(tmp_path, explainer):
    state = weights.read(Path(explainer))
    save_file({**state, "w_c.0": state["w_c.0"] + 1}, tmp_path / "other.safetensors")
    prints = {
        Tubes(TubesParams(explainer=name)).fingerprint for name in (explainer, str(tmp_path / "other.safetensors"))
    }
    assert len(prints) == 2
    assert Tubes(TubesParams(explainer=explainer)).fingerprint in prints


def test_a_file_without_an_explainer_is_a_usage_error(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match="does not fit Explainer"):
        Tubes(TubesParams(explainer=str(tmp_path / "other.safetensors")))
    with pytest.raises(UsageError, match=r"there is no file .*nowhere\.safetensors"):
        Tubes(TubesParams(explainer=str(tmp_path / "nowhere.safetensors")))


def test_the_method_reads_fitted_weights(tmp_path):
    state = Tubes().fit(DATASET, TARGET, tmp_path, steps=2, log=str)
    save_file(state, tmp_path / "tubes.safetensors")
    assert (
        Tubes(TubesParams(explainer=str(tmp_path / "tubes.safetensors"))).supports(DATASET, TARGET, None, ClassGoal(0))
        is None
    )


def test_fit_refuses_targets_without_features_and_datasets_without_attributes(tmp_path):
    with pytest.raises(UsageError, match="does not expose mid-level features"):
        Tubes().fit(DATASET, Linear(), tmp_path, steps=2)
    with pytest.raises(UsageError, match="has no attributes"):
        Tubes().fit(ShapeMoving(), TARGET, tmp_path, steps=2)
    with pytest.raises(NotImplementedError, match="nothing to train"):
        TubesCentre().fit(DATASET, TARGET, tmp_path, steps=2)


def test_an_explanation_does_not_depend_on_the_other_videos(explainer, explanations):
    method = Tubes(TubesParams(explainer=explainer))
    (alone,) = method.run([replace(_queries()[3])], Context(DATASET, TARGET))
    assert torch.equal(alone.video, explanations[3].video)
