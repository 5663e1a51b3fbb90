from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vcfe_bench.errors import UsageError
from vcfe_bench.training import loop


def _train(folder, steps: int, stop_at: int | None = None, identity: str = "lines") -> nn.Module:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)

    def loss(step: int, rng: np.random.Generator) -> torch.Tensor:
        if step == stop_at:
            raise KeyboardInterrupt
        x = torch.from_numpy(rng.standard_normal((8, 4))).float() + 0.1 * torch.randn(8, 4)
        return (model(x) - x.sum(1, keepdim=True)).square().mean()

    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    return loop.run(
        model,
        [optimizer],
        loss,
        loop.Schedule(steps, warmup=5),
        folder / "x.pt",
        identity=identity,
        seed=3,
        ema=0.9,
        every=10,
        log=str,
    )


def test_an_interrupted_training_ends_in_the_same_weights(tmp_path):
    expected = _train(tmp_path / "a", 200)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "b", 200, stop_at=37)
    resumed = _train(tmp_path / "b", 200)
    assert torch.equal(expected.weight, resumed.weight)
    torch.testing.assert_close(expected.weight, torch.ones(1, 4), atol=0.1, rtol=0)


def test_a_finished_training_is_not_repeated(tmp_path):
    first = _train(tmp_path, 20)
    again = _train(tmp_path, 20, stop_at=0)
    assert torch.equal(first.weight, again.weight)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    _train(tmp_path, 20)
    with pytest.raises(UsageError, match="another training"):
        _train(tmp_path, 20, identity="circles")


def test_schedule_warms_up_and_falls():
    schedule = loop.Schedule(1000, warmup=100, floor=0.02)
    factors = [schedule.factor(step) for step in range(1000)]
    assert factors[0] == pytest.approx(0.01)
    assert max(factors) == factors[100] == 1
    assert factors[-1] == pytest.approx(0.02, abs=1e-4)
    assert all(isinstance(factor, float) for factor in factors)
