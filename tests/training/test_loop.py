from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from vcfe_bench.core.errors import UsageError
from vcfe_bench.training import loop


@pytest.fixture
def accelerator(request: pytest.FixtureRequest) -> Accelerator:
    """An accelerator on the CPU, with the precision of the test."""
    return Accelerator(cpu=True, mixed_precision=getattr(request, "param", "no"))


def _train(
    folder,
    steps: int,
    stop_at: int | None = None,
    identity: str = "lines",
    accelerator: Accelerator | None = None,
    log: Callable[[str], object] = str,
) -> nn.Module:
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
        log=log,
        accelerator=accelerator,
    )


def test_an_interrupted_training_ends_in_the_same_weights(tmp_path):
    expected = _train(tmp_path / "a", 200)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "b", 200, stop_at=37)
    resumed = _train(tmp_path / "b", 200)
    assert torch.equal(expected.weight, resumed.weight)
    torch.testing.assert_close(expected.weight, torch.ones(1, 4), atol=0.1, rtol=0)


def test_one_process_in_full_precision_changes_no_bit(tmp_path, accelerator):
    expected = _train(tmp_path / "plain", 50)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "parts", 50, stop_at=37, accelerator=accelerator)
    resumed = _train(tmp_path / "parts", 50, accelerator=accelerator)
    assert torch.equal(expected.weight, resumed.weight)
    assert torch.equal(expected.bias, resumed.bias)


@pytest.mark.parametrize("accelerator", ["bf16"], indirect=True)
def test_the_loss_is_computed_in_half_precision_and_weights_stay_float32(tmp_path, accelerator):
    whole, mixed = _train(tmp_path / "a", 50), _train(tmp_path / "b", 50, accelerator=accelerator)
    assert mixed.weight.dtype == torch.float32
    assert not torch.equal(whole.weight, mixed.weight)
    torch.testing.assert_close(whole.weight, mixed.weight, atol=0.02, rtol=0)


def test_scaled_gradients_give_the_same_weights_and_the_scale_is_resumed(tmp_path, monkeypatch):
    """Gradient scaling, which half precision on a GPU needs; a power of two as the scale is exact."""

    def scaled() -> Accelerator:
        accelerator = Accelerator(cpu=True, mixed_precision="fp16")
        accelerator.native_amp = True
        monkeypatch.setattr(accelerator, "autocast", nullcontext)
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0, growth_interval=8)
        return accelerator

    plain, whole, part, rest = _train(tmp_path / "plain", 50), scaled(), scaled(), scaled()
    expected = _train(tmp_path / "a", 50, accelerator=whole)
    assert torch.equal(plain.weight, expected.weight)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "b", 50, stop_at=37, accelerator=part)
    assert torch.equal(_train(tmp_path / "b", 50, accelerator=rest).weight, expected.weight)
    assert rest.scaler.get_scale() == whole.scaler.get_scale() == 2.0 ** (1 + 50 // 8)


def test_only_the_main_process_writes_and_logs(tmp_path, accelerator, monkeypatch):
    monkeypatch.setattr(type(accelerator), "is_main_process", False)
    lines: list[str] = []
    _train(tmp_path, 20, accelerator=accelerator, log=lines.append)
    assert lines == []
    assert list(tmp_path.iterdir()) == []


def test_a_finished_training_is_not_repeated(tmp_path):
    first = _train(tmp_path, 20)
    again = _train(tmp_path, 20, stop_at=0)
    assert torch.equal(first.weight, again.weight)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    _train(tmp_path, 20)
    with pytest.raises(UsageError, match="another training"):
        _train(tmp_path, 20, identity="circles")


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, damage):
    expected = _train(tmp_path / "whole", 50)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "parts", 50, stop_at=37)
    (file,) = [path for path in (tmp_path / "parts").iterdir() if path.suffix != ".before"]
    content, lines = bytearray(file.read_bytes()), []
    content[content.index(b"optimizers")] ^= 1
    file.write_bytes(content if damage == "flip" else content[: len(content) // 2])
    if damage == "delete":
        file.unlink()
    resumed = _train(tmp_path / "parts", 50, log=lines.append)
    assert torch.equal(expected.weight, resumed.weight)
    assert any("going on from the checkpoint before" in line for line in lines)
    for path in (tmp_path / "parts").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UsageError, match="are damaged: choose another --checkpoints folder"):
        _train(tmp_path / "parts", 50)


def test_the_schedule_warms_up_and_decays():
    schedule = loop.Schedule(1000, warmup=100, floor=0.02)
    factors = [schedule.factor(step) for step in range(1000)]
    assert factors[0] == pytest.approx(0.01)
    assert max(factors) == factors[100] == 1
    assert factors[-1] == pytest.approx(0.02, abs=1e-4)
    assert all(isinstance(factor, float) for factor in factors)
