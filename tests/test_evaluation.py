from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torchmetrics.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.test_cli import call
from vcfe_bench.core.errors import UsageError
from vcfe_bench.goals import AvoidGoal
from vcfe_bench.interfaces import (
    Constraints,
    Context,
    Dataset,
    Explanation,
    Generator,
    Method,
    Query,
    Sample,
    Split,
    Target,
    Values,
)
from vcfe_bench.workflows.evaluate_models import calibration_error, evaluate_generator, evaluate_target
from vcfe_datasets.shapes.shape_moving import DIRECTIONS, ShapeMoving
from vcfe_methods.pgd import PGD, PGDParams


class _Shift(Target):
    """Measures motion: the distance that the object's centroid travels in each direction."""

    classes = ShapeMoving.classes
    fingerprint = "shift"

    def forward(self, video):
        weight = (video[:, [0, -1]] - video[:, [0, -1], :, :1, :1]).abs().mean(2)
        places = torch.arange(video.shape[-1], dtype=video.dtype)
        x, y = (weight.sum(d) @ places / weight.sum((2, 3)) for d in (2, 3))
        right, down = (place[:, 1] - place[:, 0] for place in (x, y))
        return torch.stack([-down, down, -right, right], dim=1)


class _Up(Target):
    """Predicts "up" for every video."""

    classes = ShapeMoving.classes
    fingerprint = "up"

    def forward(self, video):
        return torch.tensor([1.0, 0, 0, 0]) + 0 * video.flatten(1)[:, :4]


class _Reverse(Method):
    """An attack that cannot fail on a target that reads motion; it records its queries."""

    width = 4

    def __init__(self) -> None:
        super().__init__()
        self.queried: list[list[str]] = []

    def run(self, queries: Sequence[Query], context: Context) -> list[Explanation]:
        assert all(query.goal == AvoidGoal(int(query.sample.label)) for query in queries)
        self.queried.append([query.sample.id for query in queries])
        return [Explanation(query.sample.video.flip(0)) for query in queries]


class _Few(ShapeMoving):
    def size(self, split: Split) -> int:
        return 8


class _Perfect(Generator):
    """Latents are videos; one step from any noise moves the first frame's object in one of the four directions."""

    constraints = Constraints(frame_step=1, side_step=1)
    fingerprint = "perfect"

    def encode(self, video):
        return video.transpose(1, 2)

    def decode(self, latent):
        return latent.transpose(1, 2)

    def condition(self, first_frame, shape):
        return first_frame

    def velocity(self, latent, sigma, condition):
        labels = (latent.flatten(1).sum(1).abs() % 4).int().tolist()
        clean = [_move(frame, k, latent.shape[2]) for frame, k in zip(condition, labels, strict=True)]
        return (latent - self.encode(torch.stack(clean))) / sigma

    def sigmas(self, steps):
        return torch.linspace(1, 0, steps + 1).tolist()

    def latent_shape(self, shape):
        return 3, *shape


class _Useless(_Perfect):
    """Decodes to fresh noise."""

    fingerprint = "useless"

    def decode(self, latent):
        return torch.rand_like(latent).transpose(1, 2)


def _move(frame: torch.Tensor, label: int, frames: int) -> torch.Tensor:
    body = (frame - frame[:, :1, :1]).abs().amax(0) > 0.1
    rows, columns = (body.any(d).nonzero() for d in (1, 0))
    last = frame.shape[-1] - 1
    gap = int((rows.min(), last - rows.max(), columns.min(), last - columns.max())[label])
    x, y = DIRECTIONS[label].tolist()
    ways = [min(3 * k // 2, gap) for k in range(frames)]
    return torch.stack([frame.roll((y * way, x * way), (1, 2)) for way in ways])


def test_a_target_that_reads_motion():
    result = evaluate_target(_Shift(), ShapeMoving(), _Reverse(), limit=40, robust_limit=8)
    assert result == {
        "accuracy": 1.0,
        "accuracy_low": pytest.approx(0.025 ** (1 / 40)),
        "accuracy_high": 1.0,
        "calibration_error": pytest.approx(0, abs=1e-3),
        "accuracy_n": 40,
        "robust_accuracy": 0.0,
        "robust_accuracy_low": 0.0,
        "robust_accuracy_high": pytest.approx(1 - 0.025 ** (1 / 8)),
        "robust_accuracy_n": 8,
        "attack": "",
        "reversed_opposite": 1.0,
    }


@pytest.mark.slow
def test_several_targets_make_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    out = tmp_path / "targets.csv"
    arguments = ["--dataset", "shape_moving", "--target", "m_swin,m_c3d", "--limit", "8", "--robust-limit", "4"]
    assert call(monkeypatch, "evaluate", "target", *arguments, "--attack", "pgd[steps=2]", "--out", str(out)) == 0
    table = pd.read_csv(out, index_col="target")
    assert table.index.tolist() == ["m_swin", "m_c3d"]
    assert (table[["accuracy", "accuracy_n", "robust_accuracy_n"]] == [1.0, 8, 4]).all(axis=None)
    assert table["calibration_error"].nunique() == 2
    assert capsys.readouterr().out.split()[:3] == ["measure", "m_swin", "m_c3d"]
    assert call(monkeypatch, "evaluate", "target", *arguments, "--out", str(tmp_path / "none" / "x.csv")) == 2


def test_a_target_that_is_constant():
    result = evaluate_target(_Up(), ShapeMoving(), _Reverse(), limit=40, robust_limit=8)
    assert result["accuracy"] == result["robust_accuracy"] == result["reversed_opposite"] == 0.25


def test_a_weak_attack_leaves_a_robust_target_as_it_is():
    attack = PGD(PGDParams(epsilon=0.05, steps=2, random_start=True))
    assert evaluate_target(_Shift(), ShapeMoving(), attack, limit=4, robust_limit=4)["robust_accuracy"] == 1.0


def test_the_last_batch_of_an_attack_is_padded_with_repetitions():
    attack, dataset = _Reverse(), ShapeMoving()
    result = evaluate_target(_Up(), dataset, attack, limit=1, robust_limit=6)
    names = [dataset.sample("test", index).id for index in range(6)]
    assert attack.queried == [names[:4], [names[4], names[5], names[4], names[5]]]
    assert result["robust_accuracy"] == 2 / 6


def test_no_more_videos_are_counted_than_there_are():
    result = evaluate_target(_Up(), _Few(), _Reverse(), limit=100, robust_limit=100)
    assert result["accuracy_n"] == result["robust_accuracy_n"] == 8
    assert result["accuracy"] == result["robust_accuracy"] == 0.25
    assert evaluate_generator(_Perfect(), _Shift(), _Few(), limit=100, steps=1, noises=1)["n"] == 8


def test_a_target_of_one_confidence_is_miscalibrated_by_its_distance_from_the_accuracy():
    result = evaluate_target(_Up(), ShapeMoving(), _Reverse(), limit=20, robust_limit=4)
    assert result["calibration_error"] == pytest.approx(np.e / (np.e + 3) - result["accuracy"])


class _Hesitant(_Shift):
    """Correct, but with low confidence on some videos."""

    fingerprint = "hesitant"

    def forward(self, video):
        return super().forward(video) * video.mean(dim=(1, 2, 3, 4))[:, None] / 10


def test_calibration_error_by_its_definition():
    samples = [ShapeMoving().sample("test", index) for index in range(40)]
    outputs = _Hesitant()(torch.stack([s.video for s in samples])).double().softmax(1).numpy()
    right = outputs.argmax(1) == np.array([s.label for s in samples])
    bins = (outputs.max(1) * 15).astype(int)
    expected = sum(abs(outputs.max(1)[bins == b].sum() - right[bins == b].sum()) for b in set(bins)) / 40
    assert len(set(bins)) > 2
    result = evaluate_target(_Hesitant(), ShapeMoving(), _Reverse(), limit=40, robust_limit=4)
    assert result["calibration_error"] == pytest.approx(expected, rel=1e-5)


confidences = st.lists(st.tuples(st.sampled_from([0.2, 0.93, 0.95, 0.99, 1.0]), st.booleans()), min_size=1)


@given(confidences)
def test_full_confidence_shares_the_bin_of_its_neighbours(predictions):
    """By definition: bins [0, 1/15), …, [14/15, 1]."""
    groups = defaultdict(list)
    for confidence, correct in predictions:
        groups[min(int(confidence * 15), 14)].append((confidence, correct))
    gaps = [abs(sum(confidence for confidence, _ in group) - sum(c for _, c in group)) for group in groups.values()]
    confidence, correct = (np.array(side, float) for side in zip(*predictions, strict=True))
    assert calibration_error(confidence, correct) == pytest.approx(sum(gaps) / len(predictions))


def test_a_method_that_needs_a_generator_is_no_attack(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_Reverse, "needs_generator", True)
    with pytest.raises(UsageError, match="cannot attack this target: needs a generator"):
        evaluate_target(_Up(), ShapeMoving(), _Reverse(), limit=4, robust_limit=4)


class _Speeds(Dataset):
    """Shape-Moving as a regression: the label is the object's speed."""

    shape = (17, 64, 64)
    values = Values(20, 32, 4, 1, "1/64 of the side")

    def size(self, split: Split) -> int:
        return 40

    def sample(self, split: Split, index: int) -> Sample:
        sample = ShapeMoving().sample(split, index)
        return replace(sample, label=sample.attributes["speed"])


class _Travel(_Shift):
    """Predicts the distance that the object's centroid travels, plus a known error."""

    classes = ()

    def forward(self, video):
        return super().forward(video).amax(1, keepdim=True) + 3


def test_a_regressor_is_measured_by_its_errors():
    dataset = _Speeds()
    samples = [dataset.sample("test", index) for index in range(40)]
    outputs = _Travel()(torch.stack([s.video for s in samples]))[:, 0]
    true = torch.tensor([s.label for s in samples])
    result = evaluate_target(_Travel(), dataset, _Reverse(), limit=40, robust_limit=8)
    assert result.pop("n") == 40
    assert result == {
        "mae": pytest.approx(float(F.mean_absolute_error(outputs, true)), rel=1e-5),
        "rmse": pytest.approx(float(F.mean_squared_error(outputs, true, squared=False)), rel=1e-5),
        "r2": pytest.approx(float(F.r2_score(outputs, true)), rel=1e-4),
    }


def test_a_perfect_generator():
    result = evaluate_generator(_Perfect(), _Shift(), ShapeMoving(), limit=20, steps=1, noises=20)
    directions = result.pop("directions")
    videos = torch.stack([ShapeMoving().sample("test", index).video for index in range(20)])
    real = (videos[:, 1:] - videos[:, :-1]).abs().mean()
    assert result == {
        "reconstruction_error": 0.0,
        "reconstruction_target": 1.0,
        "reconstruction_oracle": 1.0,
        "coherent": 1.0,
        "reconstruction_identity": 1.0,
        "sample_identity": 1.0,
        "whole": 1.0,
        "whole_same": 1.0,
        "first_frame_error": pytest.approx(0, abs=1e-6),
        "motion": pytest.approx(result["real_motion"], rel=0.2),
        "real_motion": pytest.approx(float(real)),
        "variety": pytest.approx(0.05, abs=0.045),
        "n": 20,
        "steps": 1,
        "variety_n": 20,
        "directions_n": 20,
        "repeatable": True,
    }
    assert directions.pop("none") == 0
    assert all(share > 0 for share in directions.values())
    assert sum(directions.values()) == pytest.approx(1)


def test_a_useless_generator():
    result = evaluate_generator(_Useless(), _Shift(), ShapeMoving(), limit=4, steps=1, noises=4)
    assert result["reconstruction_oracle"] == result["coherent"] == 0
    assert result["whole"] == result["whole_same"] == 0
    assert max(result["reconstruction_identity"], result["sample_identity"]) < 0.3
    assert result["directions"] == {"up": 0, "down": 0, "left": 0, "right": 0, "none": 1}
    assert min(result["reconstruction_error"], result["first_frame_error"]) > 0.2
    assert not result["repeatable"]
    assert result["motion"] == pytest.approx(1 / 3, rel=0.01)  # E|u - v| of uniform u, v
    assert result["variety"] == pytest.approx(1 / 3, rel=0.01)


class _Mute(ShapeMoving):
    """A dataset without an oracle."""

    oracle = None


def test_a_generator_is_measured_without_an_oracle():
    known = evaluate_generator(_Perfect(), _Shift(), ShapeMoving(), limit=4, steps=1, noises=4)
    measured = evaluate_generator(_Perfect(), _Shift(), _Mute(), limit=4, steps=1, noises=4)
    assert known.keys() - measured.keys() == {"reconstruction_oracle", "coherent", "directions", "directions_n"}
    assert measured.items() <= known.items()


@pytest.mark.parametrize(("generator", "kept"), [(_Perfect(), 1), (_Useless(), 0)])
def test_a_value_is_kept_within_the_tolerance(generator: Generator, kept: float):
    assert (
        evaluate_generator(generator, _Travel(), _Speeds(), limit=4, steps=1, noises=2)["reconstruction_target"] == kept
    )


class _Still(_Perfect):
    """Decodes to the first frame throughout."""

    fingerprint = "still"

    def decode(self, latent):
        return latent[:, :, :1].expand_as(latent).transpose(1, 2)


def test_how_far_reconstruction_moves_a_value():
    """For a still video the target predicts 3, so the value changes by the distance that the object travelled."""
    measured = evaluate_generator(_Still(), _Travel(), _Speeds(), limit=20, steps=1, noises=1)
    ways = _Travel()(torch.stack([_Speeds().sample("test", index).video for index in range(20)]))[:, 0] - 3
    assert measured["reconstruction_shift_95"] == pytest.approx(float(np.quantile(ways, 0.95)), rel=1e-4)
    kept = evaluate_generator(_Perfect(), _Travel(), _Speeds(), limit=4, steps=1, noises=1)
    assert kept["reconstruction_shift_95"] == 0
