from __future__ import annotations

import pytest
import torch

from tests.methods.squares import Squares
from vcfe_bench.core.errors import UsageError
from vcfe_bench.interfaces import Values
from vcfe_bench.models.c3d_resnet import C3DResNetTarget
from vcfe_bench.models.trained_target import FileParams
from vcfe_bench.training.c3d_resnet import C3DRecipe, train


@pytest.mark.slow
def test_a_trained_network_classifies_and_is_read_as_a_target(tmp_path):
    trained = train(Squares(), tmp_path, C3DRecipe(steps=50, batch=4), str)
    samples = [Squares().sample("test", k) for k in range(32)]
    videos, labels = torch.stack([s.video for s in samples]), torch.tensor([s.label for s in samples])
    assert (trained(videos).argmax(1) == labels).float().mean() > 0.9
    assert not trained.training
    path = tmp_path / "weights.safetensors"
    C3DRecipe().config(Squares()).write(trained, path)
    target = C3DResNetTarget(FileParams(str(path)))
    assert torch.equal(target(videos), trained(videos))
    assert target.classes == Squares.classes


def test_the_seed_determines_the_weights(tmp_path):
    first, again, other = (
        train(Squares(), tmp_path / name, C3DRecipe(steps=2, batch=2, seed=seed), str).head[0].weight
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_training_starts_from_a_network_for_other_classes(tmp_path):
    class Fewer(Squares):
        classes = Squares.classes[:2]

        def sample(self, split, index):
            sample = super().sample(split, index)
            return type(sample)(sample.id, sample.video, sample.label % 2, sample.fps)

    path = tmp_path / "start.safetensors"
    first = train(Squares(), tmp_path / "a", C3DRecipe(steps=1, batch=2), str)
    C3DRecipe().config(Squares()).write(first, path)
    second = train(Fewer(), tmp_path / "b", C3DRecipe(steps=1, batch=2, lr=0.0, start=str(path)), str)
    assert torch.equal(first.stem[0].weight, second.stem[0].weight)
    assert second.head[0].weight.shape[0] == 2
    with pytest.raises(UsageError, match="size small with fc=1, not small with fc=2"):
        train(Squares(), tmp_path / "c", C3DRecipe(fc=2, start=str(path)), str)


@pytest.mark.slow
def test_a_regressor_predicts_values_in_the_unit_of_the_dataset(tmp_path):
    class Valued(Squares):
        classes = ()
        values = Values(100, 101, 1, 0.5, "m")

        def sample(self, split, index):
            sample = super().sample(split, index)
            return type(sample)(sample.id, sample.video, 100.0 + sample.label, sample.fps)

    trained = train(Valued(), tmp_path, C3DRecipe(steps=100, batch=4, lr=0.03), str)
    path = tmp_path / "weights.safetensors"
    C3DRecipe().config(Valued()).write(trained, path)
    target = C3DResNetTarget(FileParams(str(path)))
    samples = [Valued().sample("test", k) for k in range(32)]
    output, labels = target(torch.stack([s.video for s in samples])), torch.tensor([s.label for s in samples])
    assert output.shape == (32, 1)
    assert (output[:, 0] - labels).abs().mean() < 0.2, "guessing the middle is wrong by 0.5"


def test_an_unknown_size_is_refused(tmp_path):
    with pytest.raises(UsageError, match="unknown size 'smal'; did you mean 'small'"):
        train(Squares(), tmp_path, C3DRecipe(size="smal"), str)
