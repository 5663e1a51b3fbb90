from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.methods.squares import Counting, Squares
from tests.methods.test_tubes_pooling import paths, total
from vcfe_bench.core.errors import UsageError
from vcfe_bench.core.weights import CorruptWeights
from vcfe_methods.tubes.explainer import SHAPES, Explainer, ExplainerRecipe, overlaps, pair_of, regions, train

QUICK = ExplainerRecipe(steps=3, batch=4)


def _explainer(channels=(3, 4), classes: int = 3, attributes: int = 2) -> Explainer:
    torch.manual_seed(0)
    made = Explainer(channels, classes, attributes)
    for weight in made.parameters():
        torch.nn.init.uniform_(weight, -0.2, 0.2)
    return made


def _scales(frames: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(3, frames, 4, 4, generator=generator), torch.randn(4, frames, 2, 2, generator=generator)]


@pytest.mark.parametrize("shape", SHAPES)
def test_overlaps_are_shares_of_cells_inside_the_shape(shape):
    fine = 40
    y, x = np.abs((np.indices((3 * fine, 3 * fine)) + 0.5) / fine - 1.5)
    covered = (y < shape[0] / 2) & (x < shape[1] / 2)
    shares = covered.reshape(3, fine, 3, fine).mean(axis=(1, 3))
    np.testing.assert_allclose(overlaps(*shape), shares / shares.sum(), rtol=1e-5)


def test_figure_4():
    quarter, half = 0.25, 0.5
    expected = torch.tensor([[quarter, half, quarter], [half, 1, half], [quarter, half, quarter]])
    torch.testing.assert_close(overlaps(2, 2), expected / 4)
    torch.testing.assert_close(overlaps(3, 3), torch.full((3, 3), 1 / 9))


def test_scores_are_those_of_the_equations():
    explainer, scales = _explainer(), _scales()
    differences = explainer.differences(scales, 1, [0, 2], [1, 0])
    assert differences.shape == (4, 8, 2, 4, 4)
    pairs = [(negative, s) for negative in (0, 2) for s in (1, 0)]
    for n, (negative, s) in enumerate(pairs):
        for scale, shape, t, i, j in ((0, 1, 0, 2, 1), (0, 3, 1, 0, 3), (1, 0, 1, 3, 0), (1, 2, 0, 1, 2)):
            w_c, w_s = explainer.w_c[scale], explainer.w_s[scale][s]
            w = [w_c[c] * w_s + w_c[c] + w_s for c in (1, negative)]
            features = torch.nn.functional.pad(scales[scale], (1, 1, 1, 1))[:, t]
            row, column = (i, j) if scale == 0 else (i // 2, j // 2)
            window = features[:, row : row + 3, column : column + 3] * overlaps(*SHAPES[shape])
            expected = (w[0] * window).sum() - (w[1] * window).sum()
            torch.testing.assert_close(differences[n, 4 * scale + shape, t, i, j], expected)


def test_loss_is_equation_7_over_all_tubes():
    explainer, scales = _explainer(), [scale[..., :2, :2] for scale in _scales()]
    m = explainer.differences(scales, 2, [0, 1], [0, 1]).detach().double()
    worst = [min(total(scores, path) for path in paths(scores.shape)) for scores in m]
    expected = sum(-math.log(1 / (1 + math.exp(-value))) for value in worst) / 2
    assert explainer.loss(scales, 2, [0, 1]).item() == pytest.approx(expected, rel=1e-5)


def test_evidence_is_the_best_tube_of_each_attribute():
    explainer, scales = _explainer(), [scale[..., :2, :2] for scale in _scales()]
    values, m = explainer.evidence(scales, 0, 2)
    assert m.shape == (2, 8, 2, 2, 2)
    best = [max(total(scores, path) for path in paths(scores.shape)) for scores in m.detach()]
    assert values.tolist() == pytest.approx(best, rel=1e-5)


def test_regions_are_centred_on_their_cells():
    scales = [torch.empty(1, 2, 8, 4), torch.empty(1, 2, 4, 2)]
    path = torch.zeros(8, 2, 8, 4, dtype=torch.bool)
    path[1, 0, 3, 2] = True  # fine, 2 cells high and 3 wide
    path[4 + 2, 1, 6, 1] = True  # coarse, 3 cells high and 2 wide, in the coarse cell (3, 0)
    boxes = regions(path, scales, torch.tensor([0, 0, 1]), (64, 32))
    assert boxes.tolist() == [[8, 20, 32, 36], [8, 20, 32, 36], [0, 32, 24, 64]]


def test_frames_without_tube_have_no_box():
    path = torch.zeros(4, 2, 4, 4, dtype=torch.bool)
    path[3, 1, 1, 1] = True
    boxes = regions(path, [torch.empty(1, 2, 4, 4)], torch.tensor([0, 1]), (32, 32))
    assert np.isnan(boxes[0]).all()
    assert boxes[1].tolist() == [0, 0, 24, 24]


def _states(folder, recipe: ExplainerRecipe) -> dict[str, torch.Tensor]:
    return train(Squares(), Counting(), folder, recipe, str).state_dict()


def test_training_is_reproducible_from_its_seed(tmp_path):
    first, again = (_states(tmp_path / name, QUICK) for name in "ab")
    other = _states(tmp_path / "c", ExplainerRecipe(steps=3, batch=4, seed=1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["w_c.0"], other["w_c.0"])


def test_an_interrupted_training_resumes(tmp_path, monkeypatch):
    recipe = ExplainerRecipe(steps=52, batch=1)
    expected = _states(tmp_path / "a", recipe)
    whole, calls = Explainer.loss, []

    def stop(self, *arguments):
        calls.append(1)
        if len(calls) == 51:
            raise KeyboardInterrupt
        return whole(self, *arguments)

    monkeypatch.setattr(Explainer, "loss", stop)
    with pytest.raises(KeyboardInterrupt):
        _states(tmp_path / "b", recipe)
    resumed = _states(tmp_path / "b", recipe)
    assert len(calls) == 53
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)


def test_positive_classes_are_sampled_from_the_predicted_probabilities(tmp_path, monkeypatch):
    positives = []

    def note(self, scales, positive, attributes):
        positives.append((positive, attributes))
        return self.w_c[0].sum()

    monkeypatch.setattr(Explainer, "loss", note)
    target = Counting(sure=8.0)
    videos = torch.stack([Squares().sample("train", k).video for k in (0, 1)])
    p = float(target(videos).softmax(1)[0, 0])
    assert 0.6 < p < 0.9
    train(Squares(), target, tmp_path, ExplainerRecipe(steps=10, batch=60), str)
    right = np.mean([positive in attributes for positive, attributes in positives])
    assert right == pytest.approx(p, abs=0.07)


def test_training_makes_every_tube_evidence_for_the_right_class(tmp_path):
    def mean_loss(explainer: Explainer) -> float:
        samples = [Squares().sample("test", k) for k in range(6)]
        present = [[Squares.attributes.index(name) for name in s.attributes["attributes"]] for s in samples]
        with torch.no_grad():
            scales = [[scale[0] for scale in Counting().features(s.video[None]).scales] for s in samples]
            losses = [explainer.loss(x, int(s.label), p) for x, s, p in zip(scales, samples, present, strict=True)]
        return float(torch.stack(losses).mean())

    trained = train(Squares(), Counting(), tmp_path, ExplainerRecipe(steps=200, batch=4), str)
    assert mean_loss(Explainer((6, 6), 2, 3)) == pytest.approx(math.log(2))
    assert mean_loss(trained) < math.log(2) / 1.15


def test_a_target_with_other_classes_is_an_error(tmp_path):
    class Three(Squares):
        classes = ("a", "b", "c")

    with pytest.raises(UsageError, match="target 'counting' has 2 outputs, but dataset 'squares' has 3 classes"):
        train(Three(), Counting(), tmp_path, QUICK, str)


def test_a_stored_explainer_is_restored(tmp_path):
    explainer = _explainer()
    explainer.pair.copy_(pair_of(Squares(), Counting()))
    path = tmp_path / "tubes.safetensors"
    save_file(explainer.state_dict(), path)
    restored = Explainer.read(path)
    assert not any(parameter.requires_grad for parameter in restored.parameters())
    assert torch.equal(restored.evidence(_scales(), 0, 1)[0], explainer.evidence(_scales(), 0, 1)[0])
    assert torch.equal(restored.pair, pair_of(Squares(), Counting()))
    assert not torch.equal(restored.pair, pair_of(Squares(), Counting(1.0)))
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(CorruptWeights, match="does not fit Explainer"):
        Explainer.read(path)
